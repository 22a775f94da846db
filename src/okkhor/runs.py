"""Where a run keeps its files: runs/<run>/fold<k>/, and which of them are there."""

import json
import re
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from okkhor.config import Config
from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.settings import load_stored

RUNS = Path("runs")
ENSEMBLE = "ensemble.yaml"  # in runs/<ensemble>/: the settings that it was made with


def fold_folder(run: str, fold: int) -> Path:
    return RUNS / run / f"fold{fold}"


def is_finished(folder: Path) -> bool:
    """metrics.json is written last."""
    return (folder / "metrics.json").exists()


def is_begun(folder: Path) -> bool:
    """Whether there is something to go on from."""
    return (folder / "state.pt").exists() or is_finished(folder)


def finished_folds(run: str) -> list[int]:
    """The numbers of the folds of a run that are trained to the end. Raises InputError where there is none."""
    folders = sorted((RUNS / run).glob("fold*"))
    folds = [int(f.name[4:]) for f in folders if re.fullmatch(r"fold\d+", f.name) and is_finished(f)]
    if not folds:
        raise InputError(f"run={run}: {RUNS / run} has no finished fold. Train one: ./run.sh fold=0 run={run}")
    return sorted(folds)


def test_suffix(run: str, fold: int, root: Path) -> str:
    """What the names of test predictions of a data folder end in.

    Nothing for the folder that the run was trained on; -<folder's name> for another, so that both have their files.
    """
    own = Path(load_stored(fold_folder(run, fold) / "config.yaml").data.root)
    return "" if own.resolve() == root.resolve() else f"-{root.resolve().name}"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of log.jsonl, one for each epoch."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def write_config(config: Config, folder: Path, name: str = "config.yaml") -> None:
    """Every setting, and the versions that it ran with."""
    content = asdict(config) | {"environment": describe_environment()}
    with replacing(folder / name) as temporary:
        temporary.write_text(yaml.safe_dump(_plain(content), allow_unicode=True, sort_keys=False), encoding="utf-8")


def describe_environment() -> dict[str, str]:
    """The versions of this package and of those that decide the numbers, and the git commit, where there is one."""
    found = {}
    for package in ("okkhor", "torch", "timm", "albumentations", "opencv-python-headless", "numpy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found["commit"] = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found["commit"] = "unknown"
    return found


def _plain(value: object) -> object:
    """Tuples as lists: safe YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
