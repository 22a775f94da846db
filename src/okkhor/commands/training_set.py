"""What a fold trains on: the other folds as a person corrected them, and confident test images where asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.commands.members import open_member
from okkhor.commands.prepare import Prepared
from okkhor.config import Config
from okkhor.data.cache import build_cache
from okkhor.data.competition import TrainSet
from okkhor.errors import ConfigError, InputError
from okkhor.predictions import Predictions, read_predictions
from okkhor.schema import GRAPHEME, HEAD_NAMES
from okkhor.scoring.decoding import decode


@dataclass(frozen=True)
class TrainingSet:
    """caches: files of images, the train images' first. rows: (N,) int64, which of all their images, counted on.

    labels: for each head, and `grapheme` where the network has that head, (N,) int64. graphemes: (G, 3) int64, the
    labels of each class of `grapheme`; the same in every fold.
    """

    caches: list[Path]
    rows: NDArray[np.int64]
    labels: dict[str, NDArray[np.int64]]
    graphemes: NDArray[np.int64]


def select_training_set(config: Config, prepared: Prepared, fold: int) -> TrainingSet:
    """The other folds, with the labels that are fixed, without the images that are blacklisted; then pseudo-labels."""
    table = prepared.corrected
    graphemes = np.unique(table[list(HEAD_NAMES)].to_numpy(np.int64), axis=0)
    rows = prepared.folds.training_rows(fold)
    rows = rows[prepared.usable[rows] & ~fixed_into_held_out(prepared, fold)[rows]]
    labels = {name: table[name].to_numpy()[rows] for name in HEAD_NAMES}
    caches = [prepared.cache]
    if config.data.pseudo:
        extra = select_pseudo_labels(config, prepared, fold, graphemes)
        caches.append(build_cache(extra, config.data))
        rows = np.concatenate([rows, len(table) + np.arange(len(extra.table))])
        labels = {name: np.concatenate([labels[name], extra.table[name].to_numpy()]) for name in HEAD_NAMES}
    if config.model.graphemes != "none":
        labels[GRAPHEME] = number_graphemes(labels, graphemes)
    return TrainingSet(caches, rows, labels, graphemes)


def fixed_into_held_out(prepared: Prepared, fold: int) -> NDArray[np.bool_]:
    """(N,) bool: the rows of train.csv that a label fix makes a grapheme of, which this fold's training lacks."""
    names = list(HEAD_NAMES)
    held_out = prepared.train.table.loc[prepared.folds.unseen_in == fold, names].drop_duplicates()
    fixed = pd.MultiIndex.from_frame(prepared.corrected[names])
    return np.asarray(fixed.isin(pd.MultiIndex.from_frame(held_out)))


def number_graphemes(labels: dict[str, NDArray[np.int64]], graphemes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) int64: the row of graphemes (G, 3) that the labels are, -1 where they are none."""
    triples = np.stack([labels[name] for name in HEAD_NAMES], axis=1)
    return pd.MultiIndex.from_arrays(graphemes.T).get_indexer(pd.MultiIndex.from_arrays(triples.T)).astype(np.int64)


def select_pseudo_labels(config: Config, prepared: Prepared, fold: int, graphemes: NDArray[np.int64]) -> TrainSet:
    """The test images that the network of the same fold of data.pseudo is sure of, labelled as it reads them.

    Of the same fold: another one's network has trained on the images that this fold is validated with, and what it
    learnt there would come back through its labels. Raises InputError where none is confident.
    """
    assert prepared.test is not None, "check_pseudo has seen to it"
    table = read_predictions(pseudo_table(config, fold))
    known = {image_id for shard in prepared.test.shards for image_id in shard.image_ids.tolist()}
    if known != set(table.image_ids.tolist()):
        raise InputError(
            f"{pseudo_table(config, fold)}: predicts other images than {config.data.root} has. Predict again."
        )
    labels = decode(table.probabilities)
    sure = confidence(table) >= config.data.pseudo_confidence
    if config.model.graphemes != "none":  # that head has no class for a combination that train lacks
        sure &= number_graphemes(labels, graphemes) >= 0
    if not sure.any():
        raise InputError(
            f"data.pseudo={config.data.pseudo}: no test image is read with data.pseudo_confidence="
            f"{config.data.pseudo_confidence:g}. Lower it."
        )
    print(f"Pseudo-labels: {sure.sum():,} of {len(table):,} test images, as {pseudo_table(config, fold)} reads them.")
    columns = {"image_id": table.image_ids[sure], **{name: labels[name][sure] for name in HEAD_NAMES}}
    return TrainSet(pd.DataFrame(columns), prepared.test.shards)


def confidence(table: Predictions) -> NDArray[np.float32]:
    """(N,): the probability of the most probable class in the head that is the least sure."""
    return np.min([table.probabilities[name].max(axis=1) for name in HEAD_NAMES], axis=0)


def pseudo_table(config: Config, fold: int) -> Path:
    return open_member(config.data.pseudo, fold).test(fold, Path(config.data.root))


def check_pseudo(config: Config, folds: list[int]) -> None:
    """Raises ConfigError now where the networks that data.pseudo names have not predicted the test images."""
    if not config.data.pseudo:
        return
    if not (Path(config.data.root) / "test.csv").exists():
        raise ConfigError(f"data.pseudo={config.data.pseudo}: {config.data.root} has no test images.")
    for fold in folds:
        path = pseudo_table(config, fold)
        if not path.exists():
            raise ConfigError(
                f"data.pseudo={config.data.pseudo}: {path} is not there. "
                f"Make it: ./run.sh predict run={config.data.pseudo} fold={fold} data.root={config.data.root}"
            )
