"""`predict_offline`, which the kernel on Kaggle runs: it predicts the hidden test files by a packaged `KernelPlan`.

The plan is fixed in the package: the decision is chosen on out-of-fold tables, which are not packaged.

This module and its imports need only what Kaggle's image has: torch, timm, safetensors (which timm needs), OpenCV,
NumPy, pandas, PyArrow, SciPy, scikit-learn and tqdm.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import okkhor
from okkhor.config import DataConfig, ModelConfig
from okkhor.data.competition import TestSet, read_test_set
from okkhor.errors import ConfigError, InputError
from okkhor.files import replacing
from okkhor.pipeline.decision import Decision, decision_from_json, decision_to_json
from okkhor.pipeline.inference import Networks, collect, load_network, predict_blocks
from okkhor.predictions import Predictions
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import make_submission, write_submission
from okkhor.training.device import choose_device, choose_precision


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
    if "decision" not in content:
        raise InputError(f"{path}: Okkhor 0.1.0 made this package. Package the run again: ./run.sh package run=<run>")
    return KernelPlan(
        members=tuple(map(_read_member, content["members"])),
        decision=decision_from_json(content["decision"]),
        commands=tuple(map(tuple, content["commands"])),
    )


def _read_member(content: dict[str, Any]) -> KernelMember:
    data, model = DataConfig(**content.pop("data")), ModelConfig(**content.pop("model"))
    return KernelMember(**content | {"weights": tuple(content["weights"])}, data=data, model=model)


def predict_offline(plan_file: Path, root: Path, submission_file: Path) -> None:
    """Predict the test images in `root` by a packaged plan, whose weights lie beside it; write the submission.

    Of the hidden files only test.csv and the shards are certain, so sample_submission.csv is not read.
    """
    started = time.monotonic()
    plan = read_plan(plan_file)
    test = read_test_set(root, check_sample=False)
    if test is None:
        raise InputError(f"{root}: found no test.csv. Add the competition as an input of the kernel.")
    print(f"okkhor {okkhor.__version__} from {Path(okkhor.__file__).parent}: {len(test.table):,} rows of {root}.")
    tables = predict_members(plan, plan_file.parent, test)
    combined = plan.decision.combination.apply(tables, [member.name for member in plan.members])
    submission = make_submission(test.table, combined.image_ids, plan.decision.decide(combined))
    write_submission(submission, test.table, submission_file)
    print(f"{submission_file}: {len(submission):,} rows after {time.monotonic() - started:.0f} s.")


def choose_kernel_device() -> torch.device:
    """The GPU, or the CPU, with the reason printed, where torch can't compute on it: a slow submission, not none."""
    try:
        return choose_device("auto")
    except ConfigError as error:
        print(f"{error}\nThe kernel goes on with the CPU.")
        return choose_device("cpu")


def predict_members(plan: KernelPlan, weights: Path, test: TestSet) -> list[Predictions]:
    """The mean of each member's folds, by the same steps as ./run.sh predict. weights: the folder of their files.

    Each shard is decoded once for all members. A mean is taken block by block: a member has one table in memory.
    """
    members = []
    device = choose_kernel_device()
    for member in plan.members:
        precision = choose_precision(member.precision, device)
        print(f"{member.name}: {', '.join(member.weights)} in {str(precision.dtype)[6:]} on {precision.device}.")
        networks = {
            name: load_network(weights / name, member.model, member.data.size, precision) for name in member.weights
        }
        members.append(Networks(networks, member.data, member.batch_size, precision, member.num_views))
    scratch = Path(tempfile.gettempdir())  # decoded shards: 1.6 GB, too much for working/
    means = (
        [combine(tables, list(member.by_name)) for member, tables in zip(members, block, strict=True)]
        for block in predict_blocks(members, test, scratch)
    )
    return collect(means)
