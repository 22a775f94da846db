"""./run.sh package run=<run or ensemble>: a data set and a kernel for Kaggle that predict offline."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from okkhor.commands.decisions import choose_rule
from okkhor.commands.ensemble import choose_combination
from okkhor.commands.kernel_plan import KernelMember, KernelPlan, write_plan
from okkhor.commands.members import Member, open_member, read_out_of_fold
from okkhor.config import Config
from okkhor.errors import ConfigError
from okkhor.files import holding
from okkhor.kaggle.kernel_code import PLAN_FILE, make_notebook, make_script
from okkhor.kaggle.metadata import COMPETITION, describe_dataset, describe_kernel, make_slug
from okkhor.kaggle.wheel import build_wheel
from okkhor.runs import ENSEMBLE, RUNS, fold_folder
from okkhor.scoring.combination import Combination
from okkhor.settings import load_arguments, load_stored

PACKAGES = Path("dist")
LOCK = ".lock"  # within it: one process at a time writes packages, or rehearses one
DATASET, KERNEL = "dataset", "kernel"  # the folders of a package: each is uploaded as it is
SCRIPT, NOTEBOOK = "predict.py", "predict.ipynb"


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.run:
        raise ConfigError("package needs run=<run or ensemble>: whose networks go to Kaggle.")
    is_ensemble = (RUNS / config.run / ENSEMBLE).exists()
    plan, members = (plan_ensemble if is_ensemble else plan_run)(config, arguments)
    folder = PACKAGES / config.run.replace("@", "-")
    PACKAGES.mkdir(exist_ok=True)
    with holding(PACKAGES / LOCK), replacing_folder(folder) as partial:
        write_package(partial, plan, members, config)
    print_package(folder, config.kaggle.user)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; when the block ends well, it becomes `folder`, which is whole at any moment, or not there.

    A folder can't be renamed over another: the old one is moved away before it is removed, and so never half there.
    """
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "old"))
    for left in (partial, old):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


def plan_run(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Member]]:
    """What ./run.sh predict run=<run> with the same settings does."""
    member = open_member(config.run, config.fold)
    stored = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml", arguments)
    known = read_out_of_fold(member)[1] if stored.decode.rule != "argmax" else []
    rule = choose_rule(known, stored.decode)
    command = ("predict", *arguments)
    return KernelPlan((plan_member(config.run, member, stored),), Combination(), rule, (command,)), [member]


def plan_ensemble(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Member]]:
    """What ./run.sh predict for each member, then ./run.sh ensemble do, with the settings that the ensemble has."""
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
    """In the data set: Kaggle's client leaves subfolders out. Members that share a network share its file."""
    return f"{member.run}-fold{fold}-{member.weights(fold).name}"


def write_package(folder: Path, plan: KernelPlan, members: Sequence[Member], config: Config) -> None:
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


def print_package(folder: Path, user: str) -> None:
    files = list((folder / DATASET).iterdir())
    networks = sum(path.suffix == ".safetensors" for path in files)
    size = sum(path.stat().st_size for path in files)
    noun = "network" if networks == 1 else "networks"
    print(f"{folder}: weights of {networks} {noun}, {size / 1e6:.0f} MB with the wheel; a script and a notebook.")
    print(f"To rehearse it: ./run.sh rehearse run={folder.name}")
    if not user:
        print("To upload it, package it again with kaggle.user=<your name in Kaggle's addresses>.")
        return
    slug = make_slug(folder.name)
    print(
        f"To upload it:\n  kaggle datasets create -p {folder / DATASET}\n  kaggle kernels push -p {folder / KERNEL}\n"
        f"  kaggle competitions submit {COMPETITION} -k {user}/{slug} -v 1 -f submission.csv -m {folder.name}"
    )
