"""What a fold trains on: the other folds as a person corrected them, then what was asked for beside them.

That is confident test images, and images that are rendered anew for each epoch. Neither is ever validated with.
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
from okkhor.pipeline.pseudo_labels import cache_test_images, select_pseudo_labels
from okkhor.pipeline.rendered_images import choose_rendered, plan_fresh_images
from okkhor.pipeline.run import fold_folder
from okkhor.rendering.fresh import FreshImages
from okkhor.schema import GRAPHEME, HEAD_NAMES


@dataclass(frozen=True)
class TrainingSet:
    """caches: files of images, the train images' first. rows: (N,) int64, which of all their images, counted on.

    labels: of the N images, with a column `grapheme` where the network has that head. graphemes: (G, 3) int64, the
    labels of each class of `grapheme`; the same in every fold. pseudo: image_id and labels of the test images among it.
    fresh: how the images of the last of the caches are rendered, before an epoch.
    """

    caches: list[Path]
    rows: NDArray[np.int64]
    labels: Labels
    graphemes: NDArray[np.int64]
    pseudo: pd.DataFrame | None = None
    fresh: FreshImages | None = None

    def extended(self, cache: Path, rows: NDArray[np.int64], labels: Labels) -> "TrainingSet":
        """With these rows of one more cache."""
        start = sum(len(open_cache(path)) for path in self.caches)
        return replace(
            self,
            caches=[*self.caches, cache],
            rows=np.concatenate([self.rows, start + rows]),
            labels=Labels(np.concatenate([self.labels.array, labels.array])),
        )


def select_training_set(config: Config, prepared: Prepared, fold: int) -> TrainingSet:
    """The other folds, with the labels that are fixed, without the images that are blacklisted; then the others."""
    table = prepared.corrected
    _, graphemes = number_triples(table)
    rows = prepared.folds.training_rows(fold)
    rows = rows[prepared.usable[rows] & ~fixed_into_held_out(prepared, fold)[rows]]
    training = TrainingSet([prepared.cache], rows, Labels.from_table(table).rows(rows), graphemes)
    if config.data.pseudo:
        training = add_pseudo(training, config, prepared, fold)
    if config.data.rendered_fraction:
        training = add_rendered(training, config, prepared.train.table.iloc[rows], fold)
    if config.model.graphemes != "none":
        numbers = find_triples(training.labels, training.graphemes)
        training = replace(training, labels=Labels.from_columns({**training.labels, GRAPHEME: numbers}))
    return training


def add_pseudo(training: TrainingSet, config: Config, prepared: Prepared, fold: int) -> TrainingSet:
    """With the test images that another run is sure of."""
    assert prepared.test is not None, "check_pseudo has seen to it"
    chosen = select_pseudo_labels(config, fold, training.graphemes, held_out_graphemes(prepared, fold))
    cache, rows = cache_test_images(chosen, prepared.test, config.data)
    return replace(training.extended(cache, rows, Labels.from_table(chosen)), pseudo=chosen)


def add_rendered(training: TrainingSet, config: Config, train: pd.DataFrame, fold: int) -> TrainingSet:
    """With rendered images, and their graphemes among those of the grapheme head. train: the fold's rows."""
    rendered = choose_rendered(config, train, len(training.rows))
    triples = np.array([grapheme.labels for grapheme in rendered], np.int64)
    fresh = plan_fresh_images(config, rendered)
    path = fold_folder(config.run, fold) / "rendered.npy"
    labels = Labels(triples)
    extended = training.extended(path, np.arange(len(rendered)), labels)
    new = triples[find_triples(labels, training.graphemes) < 0]
    graphemes = np.concatenate([training.graphemes, np.unique(new, axis=0)])
    return replace(extended, graphemes=graphemes, fresh=fresh)


def fixed_into_held_out(prepared: Prepared, fold: int) -> NDArray[np.bool_]:
    """(N,) bool: the rows of train.csv that a label fix makes a grapheme of, which this fold's training lacks."""
    return find_triples(Labels.from_table(prepared.corrected), held_out_graphemes(prepared, fold)) >= 0


def held_out_graphemes(prepared: Prepared, fold: int) -> NDArray[np.int64]:
    """(H, 3) int64: the label triples that this fold's training lacks."""
    rows = prepared.train.table.loc[prepared.folds.unseen_in == fold, list(HEAD_NAMES)]
    return rows.drop_duplicates().to_numpy(np.int64)
