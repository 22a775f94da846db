"""`KernelPlan`: what the kernel on Kaggle does, fixed when it is packaged: networks, their mean, the decision rule.

An ensemble's weights and the exponents of decoding are chosen on out-of-fold tables, which stay at home.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from okkhor.config import DataConfig, ModelConfig
from okkhor.files import replacing
from okkhor.label_triples import TrainedGraphemes
from okkhor.scoring.decoding import Rule
from okkhor.scoring.member_weights import Combination, Stacking


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
    """The members, their combination and the decision rule; None: the most probable class.

    commands: the arguments of ./run.sh that make the same submission, in this order, each with data.root=<folder>.
    """

    members: tuple[KernelMember, ...]
    combination: Combination
    rule: Rule | None
    commands: tuple[tuple[str, ...], ...]


def write_plan(plan: KernelPlan, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(plan), default=_to_plain), encoding="utf-8")


def read_plan(path: Path) -> KernelPlan:
    content = json.loads(path.read_text(encoding="utf-8"))
    return KernelPlan(
        members=tuple(map(_read_member, content["members"])),
        combination=_read_combination(content["combination"]),
        rule=_read_rule(content["rule"]) if content["rule"] else None,
        commands=tuple(map(tuple, content["commands"])),
    )


def _to_plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()  # float64 and int64 go through JSON and come back bit for bit
    raise TypeError(f"a plan has no {type(value).__name__}")


def _read_member(content: dict[str, Any]) -> KernelMember:
    data, model = DataConfig(**content.pop("data")), ModelConfig(**content.pop("model"))
    return KernelMember(**content | {"weights": tuple(content["weights"])}, data=data, model=model)


def _read_combination(content: dict[str, Any]) -> Combination:
    weights, stacking = content["weights"], content["stacking"]
    return Combination(
        mean=content["mean"],
        weights=None if weights is None else tuple(weights),
        stacking=None if stacking is None else Stacking(_arrays(stacking["weights"]), _arrays(stacking["biases"])),
    )


def _read_rule(content: dict[str, Any]) -> Rule:
    graphemes = content["graphemes"]
    return Rule(
        name=content["name"],
        parameter=content["parameter"],
        exponents=content["exponents"],
        priors=_arrays(content["priors"]),
        graphemes=TrainedGraphemes(np.array(graphemes["labels"]), np.array(graphemes["images"])),
    )


def _arrays(content: Mapping[str, list[float]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array(values) for name, values in content.items()}
