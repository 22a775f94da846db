"""`write_package`: the data set and the kernel of a run or ensemble, from `plan_run` or `plan_ensemble`."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from okkhor.config import COMPETITION_ROOT, Config
from okkhor.errors import InputError
from okkhor.kaggle.kernel import KernelMember, KernelPlan, write_plan
from okkhor.kaggle.sandbox import last_line
from okkhor.pipeline.ensemble import Ensemble
from okkhor.pipeline.run import Run
from okkhor.settings import load_stored

ACCELERATOR = "NvidiaTeslaT4"
"""Two T4s. The default was a P100 until July 2026, for which Kaggle's torch has no kernels (kaggle-cli, 1156)."""
COMPETITION = COMPETITION_ROOT.rpartition("/")[2]
NO_USER = "INSERT_USER_HERE"
LONGEST_SLUG = 50  # characters, of a data set and its title
PLAN_FILE = "okkhor-plan.json"
"""The file by which the kernel finds our data set."""
ROOT_VARIABLE = "OKKHOR_KAGGLE"
"""The environment variable by which a rehearsal replaces /kaggle with its own folder."""

TITLE = "Predicts the test images of the competition with {name}, without internet. Made by ./run.sh package."

CODE = f'''import os
import sys
from pathlib import Path

KAGGLE = Path(os.environ.get("{ROOT_VARIABLE}", "/kaggle"))


def find(name):
    """The file of that name, in whatever folder below input/ it is mounted."""
    for folder, _, names in os.walk(KAGGLE / "input", followlinks=True):
        if name in names:
            return Path(folder) / name
    raise SystemExit(f"{{KAGGLE}}/input has no {{name}}: add the competition and the data set as inputs.")


plan = find("{PLAN_FILE}")
sys.path.insert(0, str(next(plan.parent.glob("okkhor-*.whl"))))  # Kaggle's image has all other packages

from okkhor.kaggle.kernel import predict_offline

predict_offline(plan, find("test.csv").parent, KAGGLE / "working/submission.csv")
'''

PACKAGES = Path("dist")
LOCK = PACKAGES / ".lock"  # one process at a time writes packages, or rehearses one
DATASET, KERNEL = "dataset", "kernel"  # the folders of a package; each is uploaded
SCRIPT, NOTEBOOK = "predict.py", "predict.ipynb"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
OPTIONS = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")


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
    weights, train = tuple(weights_name(run, fold) for fold in run.folds), stored.train
    return KernelMember(name, weights, run.num_views, train.batch_size, train.precision, stored.data, stored.model)


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


def make_script(name: str) -> str:
    """The kernel as a Python file. name: of the run or ensemble."""
    return f'"""{TITLE.format(name=name)}"""\n\n{CODE}'


def make_notebook(name: str) -> dict[str, Any]:
    """The same code as a notebook of one cell, in the format nbformat 4.5."""
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": TITLE.format(name=name)}
    code: dict[str, Any] = {"cell_type": "code", "id": "predict", "metadata": {}, "source": CODE}
    code |= {"execution_count": None, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [title, code]}


def make_slug(name: str) -> str:
    """The last part of the address on Kaggle: lowercase Latin letters, digits and hyphens."""
    latin = re.sub(r"[^a-z0-9]+", "-", f"okkhor-{name}".lower())[:LONGEST_SLUG].strip("-")
    return latin if latin != "okkhor" else "okkhor-package"


def describe_dataset(user: str, slug: str) -> dict[str, Any]:
    """The content of dataset-metadata.json. Kaggle derives the slug from the title."""
    licenses = [{"name": "other"}]  # the training images have their own terms
    return {"title": slug.replace("-", " "), "id": f"{user or NO_USER}/{slug}", "licenses": licenses}


def describe_kernel(user: str, slug: str, code_file: str) -> dict[str, Any]:
    """The content of kernel-metadata.json; without internet, as the competition demands."""
    return {
        "id": f"{user or NO_USER}/{slug}",
        "title": slug.replace("-", " "),
        "code_file": code_file,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "machine_shape": ACCELERATOR,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": [f"{user or NO_USER}/{slug}"],
    }


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder. Raises InputError if this is no checkout, or if pip fails."""
    project = Path(__file__).resolve().parents[3]
    if not (project / "pyproject.toml").exists():
        raise InputError(f"{project} is no checkout of Okkhor: it has no pyproject.toml. Clone the repository.")
    # a build leaves files, and takes in those of an older build; the next one removes what a killed one left here
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as temporary:
        copy = Path(temporary)
        # one by one: shutil.copytree joins the errors of a full disk into one without an errno
        for path in [path for name in SOURCES for path in (project / name, *(project / name).rglob("*"))]:
            own = path.relative_to(project)
            if path.is_file() and not any(part == "__pycache__" or part.endswith(".egg-info") for part in own.parts):
                (copy / own).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy / own)
        command = [sys.executable, "-m", "pip", "wheel", *OPTIONS, "--wheel-dir", str(folder), temporary]
        built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise InputError(
            f"The wheel of this package could not be built: {last_line(built.stdout + built.stderr)}\n"
            f"It needs pip and setuptools 77 or newer in {sys.executable}."
        )
    return next(folder.glob("okkhor-*.whl"))
