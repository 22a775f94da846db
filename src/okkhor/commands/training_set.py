"""What a fold trains on: the other folds as a person corrected them, and confident test images where asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.commands.prepare import Prepared
from okkhor.commands.pseudo_labels import cache_test_images, select_pseudo_labels
from okkhor.config import Config
from okkhor.data.holdout import number_graphemes
from okkhor.schema import GRAPHEME, HEAD_NAMES
from okkhor.scoring.trained_graphemes import find_graphemes


@dataclass(frozen=True)
class TrainingSet:
    """caches: files of images, the train images' first. rows: (N,) int64, which of all their images, counted on.

    labels: for each head, and `grapheme` where the network has that head, (N,) int64. graphemes: (G, 3) int64, the
    labels of each class of `grapheme`; the same in every fold. pseudo: image_id and labels of the test images among it.
    """

    caches: list[Path]
    rows: NDArray[np.int64]
    labels: dict[str, NDArray[np.int64]]
    graphemes: NDArray[np.int64]
    pseudo: pd.DataFrame | None = None


def select_training_set(config: Config, prepared: Prepared, fold: int) -> TrainingSet:
    """The other folds, with the labels that are fixed, without the images that are blacklisted; then pseudo-labels."""
    table = prepared.corrected
    _, graphemes = number_graphemes(table)
    rows = prepared.folds.training_rows(fold)
    rows = rows[prepared.usable[rows] & ~fixed_into_held_out(prepared, fold)[rows]]
    labels = {name: table[name].to_numpy()[rows] for name in HEAD_NAMES}
    caches, extra = [prepared.cache], None
    if config.data.pseudo:
        assert prepared.test is not None, "check_pseudo has seen to it"
        extra = select_pseudo_labels(config, fold, graphemes, held_out_graphemes(prepared, fold))
        cache, extra_rows = cache_test_images(extra, prepared.test, config.data)
        caches.append(cache)
        rows = np.concatenate([rows, len(table) + extra_rows])
        labels = {name: np.concatenate([labels[name], extra[name].to_numpy()]) for name in HEAD_NAMES}
    if config.model.graphemes != "none":
        labels[GRAPHEME] = find_graphemes(labels, graphemes)
    return TrainingSet(caches, rows, labels, graphemes, extra)


def fixed_into_held_out(prepared: Prepared, fold: int) -> NDArray[np.bool_]:
    """(N,) bool: the rows of train.csv that a label fix makes a grapheme of, which this fold's training lacks."""
    labels = {name: prepared.corrected[name].to_numpy() for name in HEAD_NAMES}
    return find_graphemes(labels, held_out_graphemes(prepared, fold)) >= 0


def held_out_graphemes(prepared: Prepared, fold: int) -> NDArray[np.int64]:
    """(H, 3) int64: the label triples that this fold's training lacks."""
    rows = prepared.train.table.loc[prepared.folds.unseen_in == fold, list(HEAD_NAMES)]
    return rows.drop_duplicates().to_numpy(np.int64)
