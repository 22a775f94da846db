"""`KernelPlan`: what the kernel on Kaggle does, fixed when it is packaged: its networks and the decision.

The decision is chosen on out-of-fold tables, which are not packaged.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from okkhor.config import DataConfig, ModelConfig
from okkhor.files import replacing
from okkhor.pipeline.decision import Decision, decision_from_json, decision_to_json


@dataclass(frozen=True)
class KernelMember:
    """A member of the ensemble, or the run itself. weights: the names of the files, one for each fold."""

    name: str
    weights: tuple[str, ...]
    num_views: int
    batch_size: int
    precision: str
    data: DataConfig
    model: ModelConfig


@dataclass(frozen=True)
class KernelPlan:
    """The networks of each member, and how their predictions become labels.

    commands: the arguments of ./run.sh that make the same submission, in this order, each with data.root=<folder>.
    """

    members: tuple[KernelMember, ...]
    decision: Decision
    commands: tuple[tuple[str, ...], ...]


def write_plan(plan: KernelPlan, path: Path) -> None:
    content = {
        "members": [asdict(member) for member in plan.members],
        "decision": decision_to_json(plan.decision),
        "commands": plan.commands,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_plan(path: Path) -> KernelPlan:
    content = json.loads(path.read_text(encoding="utf-8"))
    return KernelPlan(
        members=tuple(map(_read_member, content["members"])),
        decision=decision_from_json(content["decision"]),
        commands=tuple(map(tuple, content["commands"])),
    )


def _read_member(content: dict[str, Any]) -> KernelMember:
    data, model = DataConfig(**content.pop("data")), ModelConfig(**content.pop("model"))
    return KernelMember(**content | {"weights": tuple(content["weights"])}, data=data, model=model)
