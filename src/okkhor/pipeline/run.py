"""`Run`: where a run keeps its files, and which of them are there.

runs/<run>/fold<k>/ holds a fold's files, runs/<run>/ what all folds share. No other module builds a path in there.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from okkhor.config import Config, DecodeConfig, FoldsConfig
from okkhor.data.shards import fingerprint, open_shards
from okkhor.errors import ConfigError, InputError
from okkhor.files import replacing
from okkhor.label_triples import read_triples
from okkhor.pipeline.decision import Decision, choose_rule, describe_sources, find_decision
from okkhor.predictions import IMAGES, Predictions, concatenate, read_note, read_predictions
from okkhor.scoring.choosing import OutOfFold, split_folds
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import SUBMISSIONS
from okkhor.settings import SETTINGS, load_config, load_stored, read_yaml, select_folds, split_argument
from okkhor.training.device import Precision, choose_device, choose_precision
from okkhor.training.tta import MOVES

RUNS = Path("runs")
VARIANT = re.compile(r"cycle\d+|tta[1-9]")
PACKAGES = ("okkhor", "torch", "timm", "albumentations", "opencv-python-headless", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """Folds of a run, or of a variant of it, such as `sample@tta5`.

    variant: "", `cycle<k>` for the snapshot at the end of cycle k, or `tta<n>` for the mean over n views of an image.
    """

    name: str
    variant: str = ""
    folds: tuple[int, ...] = ()

    @classmethod
    def open(cls, name: str, fold: object = None) -> "Run":
        """Find `<run>` or `<run>@<variant>`. fold: a number, a list, or None for all finished folds.

        Raises ConfigError for an unknown variant or an unfinished fold, InputError where no fold is finished.
        """
        run_name, at, variant = name.partition("@")
        if at and not VARIANT.fullmatch(variant):
            raise ConfigError(f"{name}: after @ stands cycle<k>, a snapshot, or tta<n>, the mean over n views.")
        run = cls(run_name, variant)
        done = run.finished_folds()
        if not done:
            message = f"run={run_name}: {run.folder} has no finished fold. Train one: ./run.sh fold=0 run={run_name}"
            raise InputError(message)
        chosen = done if fold in (None, "all") else select_folds(fold, int(SETTINGS["folds.num_folds"].high))
        missing = [number for number in chosen if number not in done]
        if missing:
            raise ConfigError(f"fold={fold}: fold {missing[0]} of run {run_name} is not finished. Finished: {done}.")
        if variant.startswith("tta") and run.num_views not in range(3, len(MOVES) + 1, 2):
            raise ConfigError(f"{name}: the views are balanced for tta3, tta5, tta7 and tta{len(MOVES)}.")
        return replace(run, folds=tuple(chosen))

    @property
    def folder(self) -> Path:
        return RUNS / self.name

    @property
    def suffix(self) -> str:
        """What a variant adds to the names of its files."""
        return f"-{self.variant}" if self.variant else ""

    @property
    def num_views(self) -> int:
        return int(self.variant[3:]) if self.variant.startswith("tta") else 1

    def fold(self, number: int) -> Path:
        """Return the folder of a fold."""
        return self.folder / f"fold{number}"

    def is_finished(self, fold: int) -> bool:
        """Whether a fold is trained to its end: metrics.json is written last."""
        return (self.fold(fold) / "metrics.json").exists()

    def is_begun(self, fold: int) -> bool:
        """Whether there is something to resume from, or a finished fold."""
        return (self.fold(fold) / "state.pt").exists() or self.is_finished(fold)

    def finished_folds(self) -> list[int]:
        names = [path.parent.name for path in self.folder.glob("fold*/metrics.json")]
        return sorted(int(name[4:]) for name in names if re.fullmatch(r"fold\d+", name))

    def config(self, arguments: Sequence[str] = ()) -> Config:
        """Load the settings of the first of the folds; `key=value` arguments change them."""
        return load_stored(self.config_file(self.folds[0]), arguments)

    def config_file(self, fold: int) -> Path:
        return self.fold(fold) / "config.yaml"

    def weights(self, fold: int) -> Path:
        cycle = self.suffix if self.variant.startswith("cycle") else ""
        return self.fold(fold) / f"model{cycle}.safetensors"

    def out_of_fold(self, fold: int) -> Path:
        """Return the path of the table of a fold's validation images."""
        return self.fold(fold) / f"oof{self.suffix}.parquet"

    def test(self, fold: int, root: Path) -> Path:
        """Return the path of the table of a data folder's test images."""
        return self.fold(fold) / f"test{self.suffix}{self._data_suffix(root)}.parquet"

    def submission(self, root: Path) -> Path:
        """Return the path of the submission of all folds' mean for a data folder."""
        number = f"-fold{self.folds[0]}" if len(self.folds) == 1 else ""
        return SUBMISSIONS / f"{self.name}{number}{self.suffix}{self._data_suffix(root)}.csv"

    def _data_suffix(self, root: Path) -> str:
        """Nothing for the data folder that the run was trained on; -<folder's name> for another one."""
        own = Path(self.config().data.root)
        if not own.exists() and (table := self.fold(self.folds[0]) / "test.parquet").exists():  # it may have moved
            is_own = read_note(table, IMAGES) == fingerprint(open_shards(root, "test"))
        else:
            is_own = own.resolve() == root.resolve()
        return "" if is_own else f"-{root.resolve().name}"

    def read_log(self, fold: int) -> list[dict[str, Any]]:
        """Read log.jsonl: a dictionary for each epoch."""
        return [json.loads(line) for line in (self.fold(fold) / "log.jsonl").read_text().splitlines()]

    def read_out_of_fold(self) -> tuple[Predictions, list[OutOfFold]]:
        """Read one table of all folds, and each fold's rows of it. Raises InputError if two folds have one image."""
        tables = [read_predictions(self.out_of_fold(fold)) for fold in self.folds]
        graphemes = [read_triples(self.fold(fold) / "graphemes.csv") for fold in self.folds]
        whole = concatenate(tables)
        return whole, split_folds(whole, [len(table) for table in tables], graphemes)

    def read_test(self, root: Path) -> Predictions:
        """Read the folds' tables of a data folder's test images, and return their mean."""
        # "", where a teammate has the tables and not the images
        images = fingerprint(open_shards(root, "test")) if any(root.glob("test_image_data_*.parquet")) else ""
        tables = [read_predictions(self.test(fold, root), images) for fold in self.folds]
        return combine(tables, names=[f"{self.name} fold {fold}" for fold in self.folds])

    def decision(self, decode: DecodeConfig) -> Decision:
        """Read decision.json of all finished folds, or write it anew where a fold or a setting has changed since."""
        everything = Run(self.name, self.variant, tuple(self.finished_folds()))
        sources = describe_sources(decode, [everything.out_of_fold(fold) for fold in everything.folds])

        def decide() -> Decision:
            folds = [] if decode.rule == "argmax" else everything.read_out_of_fold()[1]
            return Decision(rule=choose_rule(folds, decode))

        return find_decision(self.folder / f"decision{self.suffix}.json", sources, decide)


def choose_run_precision(config: Config, is_training: bool = False) -> Precision:
    return choose_precision(config.train.precision, choose_device(config.train.device), is_training)


def name_run(arguments: Sequence[str]) -> str:
    """Return what `run=` names among key=value arguments, or the run of the preset."""
    return dict(map(split_argument, arguments)).get("run") or load_config(arguments).run


def check_same_split(config: Config, other: Run, fold: int, key: str) -> None:
    """Raise ConfigError where a fold of another run was trained on the same data, split otherwise.

    Its fold of the same number then knows images or graphemes that this fold is validated with.
    """
    stored = load_stored(other.config_file(fold))
    if stored.folds != config.folds and has_same_data(config, other, fold):
        names = [f.name for f in fields(FoldsConfig) if getattr(stored.folds, f.name) != getattr(config.folds, f.name)]
        raise ConfigError(
            f"{key}: {other.fold(fold)} was trained with other folds ({', '.join(f'folds.{name}' for name in names)}) "
            "and has seen images that this fold is validated with. Train it with the same folds."
        )


def has_same_data(config: Config, run: Run, fold: int) -> bool:
    """Whether a fold was trained on the images of config.data.root, wherever they were then."""
    root = Path(config.data.root)
    if Path(load_stored(run.config_file(fold)).data.root).resolve() == root.resolve():
        return True
    noted = read_yaml(run.config_file(fold)).get("environment", {}).get("train_images")
    return noted is not None and noted == fingerprint(
        open_shards(root, "train", config.data.partial), root / "train.csv"
    )


def write_config(config: Config, path: Path, images: str = "unknown") -> None:
    """Write every setting, the versions that it ran with, and the fingerprint of the train images."""
    content = asdict(config) | {"environment": {**describe_environment(), "train_images": images}}
    plain = json.loads(json.dumps(content))  # safe YAML has no tuples
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(plain, allow_unicode=True, sort_keys=False), encoding="utf-8")


def describe_environment() -> dict[str, str]:
    """Find the versions of the packages that decide the numbers, and the git commit, where there is one."""
    found = {}
    for package in PACKAGES:
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
