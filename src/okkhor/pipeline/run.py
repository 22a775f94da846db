"""Where a run keeps its files: runs/<run>/fold<k>/, and which of them are there."""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from okkhor.config import Config, FoldsConfig
from okkhor.errors import ConfigError, InputError
from okkhor.files import replacing
from okkhor.label_triples import read_trained_graphemes
from okkhor.predictions import Predictions, concatenate, read_predictions
from okkhor.scoring.choosing import OutOfFold, split_folds
from okkhor.scoring.ensembling import combine
from okkhor.settings import SETTINGS, load_config, load_stored, select_folds, split_argument
from okkhor.training.tta import VIEWS

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


VARIANT = re.compile(r"cycle\d+|tta[1-9]")


@dataclass(frozen=True)
class Member:
    """Finished folds of a run. variant: "", `cycle<k>`, the snapshot at the end of a cycle, or `tta<n>`, n views."""

    run: str
    variant: str
    folds: list[int]

    @property
    def suffix(self) -> str:
        """What the names of its tables have before the data folder's."""
        return f"-{self.variant}" if self.variant else ""

    @property
    def num_views(self) -> int:
        return int(self.variant[3:]) if self.variant.startswith("tta") else 1

    def weights(self, fold: int) -> Path:
        cycle = self.suffix if self.variant.startswith("cycle") else ""
        return fold_folder(self.run, fold) / f"model{cycle}.safetensors"

    def out_of_fold(self, fold: int) -> Path:
        return fold_folder(self.run, fold) / f"oof{self.suffix}.parquet"

    def test(self, fold: int, root: Path) -> Path:
        """The table of a data folder's test images."""
        return fold_folder(self.run, fold) / f"test{self.suffix}{test_suffix(self.run, self.folds[0], root)}.parquet"


def open_member(name: str, fold: object = None) -> Member:
    """`<run>` or `<run>@<variant>`; fold: which of its folds, None or "all" for all that are finished."""
    run, at, variant = name.partition("@")
    if at and not VARIANT.fullmatch(variant):
        raise ConfigError(f"{name}: after @ stands cycle<k>, a snapshot, or tta<n>, the mean over n views.")
    member = Member(run, variant, choose_folds(run, fold))
    if variant.startswith("tta") and member.num_views not in range(3, len(VIEWS) + 1, 2):
        raise ConfigError(f"{name}: the views are balanced for tta3, tta5, tta7 and tta{len(VIEWS)}.")
    return member


def name_member(arguments: Sequence[str]) -> str:
    """The member that `run=` names among key=value arguments, else the run of the preset."""
    return dict(map(split_argument, arguments)).get("run") or load_config(arguments).run


def choose_folds(run: str, fold: object) -> list[int]:
    """The finished folds of a run, or those of them that `fold` names. Raises where one is not finished."""
    finished = finished_folds(run)
    if fold is None or fold == "all":
        return finished
    chosen = select_folds(fold, int(SETTINGS["folds.num_folds"].high))
    missing = [number for number in chosen if number not in finished]
    if missing:
        raise ConfigError(f"fold={fold}: fold {missing[0]} of run {run} is not finished. Finished: {finished}.")
    return chosen


def read_out_of_fold(member: Member) -> tuple[Predictions, list[OutOfFold]]:
    """A table of all its folds, and each fold's rows of it. Raises InputError where an image stands in two folds."""
    tables = [read_predictions(member.out_of_fold(fold)) for fold in member.folds]
    graphemes = [read_trained_graphemes(fold_folder(member.run, fold) / "graphemes.csv") for fold in member.folds]
    whole = concatenate(tables)
    return whole, split_folds(whole, [len(table) for table in tables], graphemes)


def read_test(member: Member, root: Path) -> Predictions:
    """The mean of its folds' predictions of a data folder's test images."""
    tables = [read_predictions(member.test(fold, root)) for fold in member.folds]
    return combine(tables, names=[f"{member.run} fold {fold}" for fold in member.folds])


def check_same_split(config: Config, source: Path, key: str) -> None:
    """Raises ConfigError where another run's fold was trained on the same data split otherwise.

    Its fold of the same number then knows images or graphemes that this one is validated with.
    """
    stored = load_stored(source / "config.yaml")
    same_data = Path(stored.data.root).resolve() == Path(config.data.root).resolve()
    if same_data and stored.folds != config.folds:
        names = [f.name for f in fields(FoldsConfig) if getattr(stored.folds, f.name) != getattr(config.folds, f.name)]
        raise ConfigError(
            f"{key}: {source} was trained with other folds ({', '.join(f'folds.{name}' for name in names)}) and has "
            "seen what this fold is validated with. Train it with the same."
        )
