"""What is scored, predicted with and put into ensembles: a run, or a variant of it such as <run>@cycle0, <run>@tta5."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from okkhor.config import Config, FoldsConfig
from okkhor.errors import ConfigError
from okkhor.limits import RANGES
from okkhor.predictions import Predictions, concatenate, read_predictions
from okkhor.runs import finished_folds, fold_folder, test_suffix
from okkhor.scoring.choosing import OutOfFold, split_folds
from okkhor.scoring.ensembling import combine
from okkhor.scoring.trained_graphemes import read_trained_graphemes
from okkhor.settings import load_config, load_stored, select_folds, split_argument
from okkhor.training.views import VIEWS

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
    chosen = select_folds(fold, int(RANGES["folds.num_folds"][1]))
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
