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
from okkhor.pipeline.ensemble import Ensemble
from okkhor.pipeline.run import Run
from okkhor.settings import load_stored

PACKAGES = Path("dist")
LOCK = PACKAGES / ".lock"  # one process at a time writes packages, or rehearses one
DATASET, KERNEL = "dataset", "kernel"  # the folders of a package; each is uploaded
SCRIPT, NOTEBOOK = "predict.py", "predict.ipynb"


def plan_run(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Run]]:
    """Plan what ./run.sh predict run=<run> with the same settings does."""
    run = Run.open(config.run, config.fold)
    stored = run.config(arguments)
    members = (plan_member(config.run, run, stored),)
    return KernelPlan(members, run.decision(stored.decode), (("predict", *arguments),)), [run]


def plan_ensemble(config: Config, arguments: Sequence[str]) -> tuple[KernelPlan, list[Run]]:
    """Plan what ./run.sh predict for each member, then ./run.sh ensemble do, with the settings of the ensemble."""
    given = [argument for argument in arguments if argument.partition("=")[0] not in ("run", "fold")]
    settings = load_stored(Ensemble.settings_file(config.run), given)
    ensemble = Ensemble.open(settings)
    decision = ensemble.decision()
    plans = [
        plan_member(name, member, member.config()) for name, member in zip(settings.runs, ensemble.members, strict=True)
    ]
    fold = () if settings.fold is None else (f"fold={json.dumps(settings.fold)}",)
    command = (
        *("ensemble", f"runs=[{','.join(settings.runs)}]", f"name={settings.name}", *fold),
        *(f"ensemble.mean={settings.ensemble.mean}", f"ensemble.weights={settings.ensemble.weights}"),
        *(f"decode.rule={settings.decode.rule}", f"decode.prior={settings.decode.prior}"),
    )
    commands = (*(("predict", f"run={name}", *fold) for name in settings.runs), command)
    return KernelPlan(tuple(plans), decision, commands), list(ensemble.members)


def plan_member(name: str, run: Run, stored: Config) -> KernelMember:
    """Describe a member for the plan. stored: its run's settings."""
    return KernelMember(
        name=name,
        weights=tuple(weights_name(run, fold) for fold in run.folds),
        num_views=run.num_views,
        batch_size=stored.train.batch_size,
        precision=stored.train.precision,
        data=stored.data,
        model=stored.model,
    )


def weights_name(run: Run, fold: int) -> str:
    """Name a weights file in the data set, which has no subfolders. Members with the same network share its file."""
    return f"{run.name}-fold{fold}-{run.weights(fold).name}"


def write_package(folder: Path, plan: KernelPlan, members: Sequence[Run], config: Config) -> None:
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
