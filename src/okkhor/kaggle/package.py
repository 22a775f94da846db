"""`write_package`: the data set and the kernel of a run or ensemble, from `plan_run` or `plan_ensemble`."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from okkhor.config import Config
from okkhor.kaggle.kernel_code import (
    PLAN_FILE,
    describe_dataset,
    describe_kernel,
    make_notebook,
    make_script,
    make_slug,
)
from okkhor.kaggle.plan import KernelMember, KernelPlan, write_plan
from okkhor.kaggle.wheel import build_wheel
from okkhor.pipeline.decoding_choice import choose_rule
from okkhor.pipeline.ensemble import choose_combination
from okkhor.pipeline.run import ENSEMBLE, RUNS, Member, fold_folder, open_member, read_out_of_fold
from okkhor.scoring.member_weights import Combination
from okkhor.settings import load_stored

PACKAGES = Path("dist")
LOCK = PACKAGES / ".lock"  # one process at a time writes packages, or rehearses one
DATASET, KERNEL = "dataset", "kernel"  # the folders of a package; each is uploaded
SCRIPT, NOTEBOOK = "predict.py", "predict.ipynb"


def plan_run(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Member]]:
    """Plan what ./run.sh predict run=<run> does with the same settings. Returns the plan and its one member."""
    member = open_member(config.run, config.fold)
    stored = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml", arguments)
    known = read_out_of_fold(member)[1] if stored.decode.rule != "argmax" else []
    rule = choose_rule(known, stored.decode)
    command = ("predict", *arguments)
    return KernelPlan((plan_member(config.run, member, stored),), Combination(), rule, (command,)), [member]


def plan_ensemble(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Member]]:
    """Plan what ./run.sh predict for each member, then ./run.sh ensemble do with the ensemble's own settings."""
    given = [argument for argument in arguments if argument.partition("=")[0] not in ("run", "fold")]
    settings = load_stored(RUNS / config.run / ENSEMBLE, given)
    members = [open_member(name, settings.fold) for name in settings.runs]
    combination, rule = choose_combination(members, settings)
    plans = []
    for name, member in zip(settings.runs, members, strict=True):
        stored = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml")
        plans.append(plan_member(name, member, stored))
    fold = () if settings.fold is None else (f"fold={json.dumps(settings.fold)}",)
    ensemble = (
        *("ensemble", f"runs=[{','.join(settings.runs)}]", f"name={settings.name}", *fold),
        *(f"ensemble.mean={settings.ensemble.mean}", f"ensemble.weights={settings.ensemble.weights}"),
        *(f"decode.rule={settings.decode.rule}", f"decode.prior={settings.decode.prior}"),
    )
    commands = (*(("predict", f"run={name}", *fold) for name in settings.runs), ensemble)
    return KernelPlan(tuple(plans), combination, rule, commands), members


def plan_member(name: str, member: Member, stored: Config) -> KernelMember:
    return KernelMember(
        name=name,
        weights=tuple(weights_name(member, fold) for fold in member.folds),
        num_views=member.num_views,
        batch_size=stored.train.batch_size,
        precision=stored.train.precision,
        data=stored.data,
        model=stored.model,
    )


def weights_name(member: Member, fold: int) -> str:
    """The name of a file in the data set, which has no subfolders. Members that share a network share its file."""
    return f"{member.run}-fold{fold}-{member.weights(fold).name}"


def write_package(folder: Path, plan: KernelPlan, members: Sequence[Member], config: Config) -> None:
    """Write the folders DATASET (weights, plan, wheel, metadata) and KERNEL (script, notebook, metadata)."""
    dataset, kernel = folder / DATASET, folder / KERNEL
    dataset.mkdir(parents=True)
    kernel.mkdir()
    for member in members:
        for fold in member.folds:
            shutil.copyfile(member.weights(fold), dataset / weights_name(member, fold))
    write_plan(plan, dataset / PLAN_FILE)
    build_wheel(dataset)
    slug = make_slug(config.run)
    write_json(describe_dataset(config.kaggle.user, slug), dataset / "dataset-metadata.json")
    write_json(describe_kernel(config.kaggle.user, slug, NOTEBOOK), kernel / "kernel-metadata.json")
    (kernel / SCRIPT).write_text(make_script(config.run), encoding="utf-8")
    write_json(make_notebook(config.run), kernel / NOTEBOOK)


def write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
