"""`select_training_set`: what a fold trains on. The other folds, as a person corrected them, then what was asked for.

That is confident test images (pseudo-labels), and images that are rendered anew for each epoch. A fold is never
validated with either.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config
from okkhor.data.cache import open_cache
from okkhor.label_triples import Labels, find_triples, number_triples
from okkhor.pipeline.prepared import Prepared
from okkhor.schema import GRAPHEME, HEAD_NAMES
from okkhor.training.fit import Prepare


@dataclass(frozen=True)
class TrainingSet:
    """The N images that a fold trains on.

    caches: files of images, the train images' first. rows: (N,) int64, which of all their images, counted on from one
    file to the next. labels: with a column `grapheme` where the network has that head. graphemes: (G, 3) int64, the
    label triple of each class of that head. pseudo: image_id and labels of the pseudo-labelled test images among them.
    prepare_epoch: renders the images of the last of the caches, before an epoch.
    """

    caches: list[Path]
    rows: NDArray[np.int64]
    labels: Labels
    graphemes: NDArray[np.int64]
    pseudo: pd.DataFrame | None = None
    prepare_epoch: Prepare | None = None

    def extended(self, cache: Path, rows: NDArray[np.int64], labels: Labels) -> "TrainingSet":
        """Add these rows of one more cache."""
        start = sum(len(open_cache(path)) for path in self.caches)
        return replace(
            self,
            caches=[*self.caches, cache],
            rows=np.concatenate([self.rows, start + rows]),
            labels=Labels(np.concatenate([self.labels.array, labels.array])),
        )


def select_training_set(config: Config, prepared: Prepared, fold: int) -> TrainingSet:
    """Select the other folds, with the fixed labels, without the blacklisted images; then add what was asked for."""
    table = prepared.corrected
    _, graphemes = number_triples(table)
    held_out = held_out_graphemes(prepared, fold)
    # a label fix may turn an image into a grapheme that this fold's training lacks
    fixed_into_held_out = find_triples(Labels.from_table(table), held_out) >= 0
    rows = prepared.folds.training_rows(fold)
    rows = rows[prepared.usable[rows] & ~fixed_into_held_out[rows]]
    training = TrainingSet([prepared.cache], rows, Labels.from_table(table).rows(rows), graphemes)
    if config.data.pseudo:
        from okkhor.pipeline.pseudo_labels import add_pseudo_labels  # where it is asked for

        assert prepared.test is not None, "check_pseudo has seen to it"
        training = add_pseudo_labels(training, config, prepared.test, fold, held_out)
    if config.data.rendered_fraction:
        from okkhor.pipeline.rendered_images import add_rendered  # where it is asked for

        training = add_rendered(training, config, prepared.train.table.iloc[rows], fold)
    if config.model.graphemes != "none":
        numbers = find_triples(training.labels, training.graphemes)
        training = replace(training, labels=Labels.from_columns({**training.labels, GRAPHEME: numbers}))
    return training


def held_out_graphemes(prepared: Prepared, fold: int) -> NDArray[np.int64]:
    """Return (H, 3) int64: the label triples that this fold's training lacks."""
    rows = prepared.train.table.loc[prepared.folds.unseen_in == fold, list(HEAD_NAMES)]
    return rows.drop_duplicates().to_numpy(np.int64)
