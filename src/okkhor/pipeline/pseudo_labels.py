"""`add_pseudo_labels`: test images that another run reads confidently, as training images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config, DataConfig
from okkhor.data.cache import build_cache
from okkhor.data.competition import TestSet, TrainSet
from okkhor.data.shards import fingerprint, open_shards
from okkhor.data.tables import read_csv
from okkhor.errors import ConfigError, InputError
from okkhor.label_triples import Labels, find_triples
from okkhor.pipeline.run import Run, check_same_split
from okkhor.pipeline.training_set import TrainingSet
from okkhor.predictions import read_predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode


def add_pseudo_labels(
    training: TrainingSet, config: Config, test: TestSet, fold: int, held_out: NDArray[np.int64]
) -> TrainingSet:
    """Add the test images that the network of the same fold of data.pseudo reads confidently.

    Of the same fold: another fold's network has trained on the images that this fold is validated with, and what it
    learnt there would come back through its labels. held_out: (H, 3) int64, the label triples that this fold's training
    lacks. Raises InputError where no image is read confidently.
    """
    chosen = select_pseudo_labels(config, fold, training.graphemes, held_out)
    cache, rows = cache_test_images(chosen, test, config.data)
    return replace(training.extended(cache, rows, Labels.from_table(chosen)), pseudo=chosen)


def select_pseudo_labels(
    config: Config, fold: int, graphemes: NDArray[np.int64], held_out: NDArray[np.int64]
) -> pd.DataFrame:
    """Return image_id and labels. A fold that was begun keeps the images it began with: pseudo.csv in its folder."""
    kept = Run(config.run).fold(fold) / "pseudo.csv"
    if kept.exists():
        return read_csv(kept, ("image_id", *HEAD_NAMES))
    source = pseudo_table(config, fold)
    table = read_predictions(source)
    labels = decode(table.probabilities)
    highest = [table.probabilities[name].max(axis=1) for name in HEAD_NAMES]
    confident = np.min(highest, axis=0) >= config.data.pseudo_confidence  # in each head
    confident &= find_triples(labels, held_out) < 0
    if config.model.graphemes != "none":  # that head has no class for a combination that train lacks
        confident &= find_triples(labels, graphemes) >= 0
    if not confident.any():
        raise InputError(
            f"data.pseudo={config.data.pseudo}: no test image is read with data.pseudo_confidence="
            f"{config.data.pseudo_confidence:g}. Lower it."
        )
    print(f"Pseudo-labels: {confident.sum():,} of {len(table):,} test images, as {source} reads them.")
    return pd.DataFrame({"image_id": table.image_ids[confident], **labels.rows(confident)})


def cache_test_images(chosen: pd.DataFrame, test: TestSet, data: DataConfig) -> tuple[Path, NDArray[np.int64]]:
    """Build a cache of all test images, and find the rows (n,) of the chosen ones in it.

    Raises InputError for an image that is not there.
    """
    everything = pd.DataFrame({"image_id": np.concatenate([shard.image_ids for shard in test.shards])})
    rows = pd.Index(everything["image_id"]).get_indexer(pd.Index(chosen["image_id"]))
    if (rows < 0).any():
        unknown = chosen["image_id"].iloc[int(np.flatnonzero(rows < 0)[0])]
        raise InputError(f"data.pseudo: {unknown} is no test image of this data folder. Predict this folder again.")
    return build_cache(TrainSet(everything, test.shards), data), rows.astype(np.int64)


def pseudo_table(config: Config, fold: int) -> Path:
    return Run.open(config.data.pseudo, fold).test(fold, Path(config.data.root))


def check_pseudo(config: Config, folds: list[int]) -> None:
    """Raise ConfigError now where the networks that data.pseudo names can't teach these folds."""
    if not (Path(config.data.root) / "test.csv").exists():
        raise ConfigError(f"data.pseudo={config.data.pseudo}: {config.data.root} has no test images.")
    for fold in folds:
        path = pseudo_table(config, fold)
        check_same_split(config, Run.open(config.data.pseudo, fold), fold, "data.pseudo")
        if not path.exists():
            raise ConfigError(
                f"data.pseudo={config.data.pseudo}: {path} is not there. "
                f"Make it: ./run.sh predict run={config.data.pseudo} fold={fold} data.root={config.data.root}"
            )
        read_predictions(path, fingerprint(open_shards(Path(config.data.root), "test")))
