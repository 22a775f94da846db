"""`RunData`: a run as a report reads it from the disk, with its settings, out-of-fold tables, mistakes and images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config, DataConfig
from okkhor.data.cache import build_cache, open_cache
from okkhor.data.competition import read_train_set
from okkhor.data.tables import read_class_map
from okkhor.errors import InputError
from okkhor.label_triples import Labels
from okkhor.pipeline.mistakes import find_mistakes
from okkhor.pipeline.run import Run
from okkhor.pipeline.score_details import read_groups
from okkhor.predictions import Predictions
from okkhor.rendering.fonts import read_shown_components
from okkhor.rendering.graphemes import read_components
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.choosing import OutOfFold
from okkhor.scoring.decoding import decode
from okkhor.settings import read_yaml


@dataclass(frozen=True)
class TrainImages:
    """The images that the network sees. pixels: (N, H, W) uint8, bright ink on 0. rows, graphemes: by image_id."""

    pixels: NDArray[np.uint8]
    rows: Mapping[str, int]
    graphemes: Mapping[str, str]

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        return np.asarray(self.pixels[self.rows[image_id]])


@dataclass(frozen=True)
class RunData:
    """A run's settings and results.

    whole: the out-of-fold table of all folds. labels, decoded: its true and its most probable classes.
    tables: the mistakes, as find_mistakes gives them. texts: for each head, the text that shows each class.
    groups: as in bootstrap_heads. images: None if the data folder is gone. versions: of the packages that trained it.
    """

    name: str
    files: Run
    config: Config
    folds: list[OutOfFold]
    whole: Predictions
    labels: Labels
    decoded: Labels
    tables: dict[str, pd.DataFrame]
    texts: Mapping[str, Sequence[str]]
    groups: NDArray[np.int64] | None
    images: TrainImages | None
    versions: Mapping[str, str]


def read_run_data(name: str, fold: object, arguments: Sequence[str]) -> RunData:
    """Read a run, or a variant of it. arguments: may name where its data folder and its cache are now."""
    run = Run.open(name, fold)
    moved = [argument for argument in arguments if argument.startswith(("data.root=", "data.cache_dir="))]
    config = run.config(moved)
    whole, folds = run.read_out_of_fold()
    assert whole.labels is not None, "out-of-fold tables have labels"
    root = Path(config.data.root)
    texts = read_texts(root)
    has_data = (root / "train.csv").exists()
    return RunData(
        name=name,
        files=run,
        config=config,
        folds=folds,
        whole=whole,
        labels=whole.labels,
        decoded=decode(whole.probabilities),
        tables=find_mistakes(whole, [fold.graphemes for fold in folds], texts),
        texts=texts,
        groups=read_groups(config, whole) if has_data else None,
        images=open_images(config.data, whole.image_ids) if has_data else None,
        versions=read_yaml(run.config_file(run.folds[0])).get("environment", {}),
    )


def open_images(data: DataConfig, image_ids: NDArray[np.str_]) -> TrainImages:
    """Open the data folder's images in the cache. Raises InputError if one of image_ids is not in train.csv."""
    train = read_train_set(Path(data.root), data.partial)
    rows = {image_id: row for row, image_id in enumerate(train.table["image_id"])}
    missing = [image_id for image_id in image_ids.tolist() if image_id not in rows]
    if missing:
        raise InputError(
            f"{data.root}/train.csv lacks {len(missing)} images that the run was validated with, the first: "
            f"{missing[0]}. Name the folder that it was trained on: data.root=<folder>"
        )
    graphemes = dict(zip(train.table["image_id"], train.table["grapheme"], strict=True))
    return TrainImages(open_cache(build_cache(train, data)), rows, graphemes)


def read_texts(root: Path) -> dict[str, Sequence[str]]:
    """For each head, the text that shows each class: signs on a dotted circle, `none` for a class without a sign."""
    texts: dict[str, Sequence[str]] = {}
    given = read_class_map(root) if (root / "class_map.csv").exists() else {}
    for head, plain, shown in zip(HEAD_NAMES, read_components(), read_shown_components(), strict=True):
        signs = {**dict(zip(plain, shown, strict=True)), "0": ""}
        texts[head] = [signs.get(text, text) or "none" for text in given.get(head, plain)]
    return texts
