"""Test images that a run reads surely, as training images of another: which, with what labels, from whose reading."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config, DataConfig
from okkhor.data.cache import build_cache
from okkhor.data.competition import TestSet, TrainSet
from okkhor.data.tables import read_csv
from okkhor.errors import ConfigError, InputError
from okkhor.files import replacing
from okkhor.label_triples import find_triples
from okkhor.pipeline.run import check_same_split, fold_folder, open_member
from okkhor.predictions import Predictions, read_predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode

PSEUDO_FILE = "pseudo.csv"
PSEUDO_COLUMNS = ("image_id", *HEAD_NAMES)


def select_pseudo_labels(
    config: Config, fold: int, graphemes: NDArray[np.int64], held_out: NDArray[np.int64]
) -> pd.DataFrame:
    """image_id and labels of the test images that the network of the same fold of data.pseudo is sure of.

    Of the same fold: another one's network has trained on the images that this fold is validated with, and what it
    learnt there would come back through its labels. Once begun, a fold goes on with those that it began with:
    pseudo.csv in its folder. graphemes: (G, 3) int64, of train.csv; held_out: (H, 3) int64, of them those that must not
    come back into this fold's training. Raises InputError where none is confident.
    """
    kept, source = fold_folder(config.run, fold) / PSEUDO_FILE, pseudo_table(config, fold)
    if kept.exists():
        return read_csv(kept, PSEUDO_COLUMNS, integers=HEAD_NAMES)
    table = read_predictions(source)
    labels = decode(table.probabilities)
    sure = confidence(table) >= config.data.pseudo_confidence
    sure &= find_triples(labels, held_out) < 0
    if config.model.graphemes != "none":  # that head has no class for a combination that train lacks
        sure &= find_triples(labels, graphemes) >= 0
    if not sure.any():
        raise InputError(
            f"data.pseudo={config.data.pseudo}: no test image is read with data.pseudo_confidence="
            f"{config.data.pseudo_confidence:g}. Lower it."
        )
    print(f"Pseudo-labels: {sure.sum():,} of {len(table):,} test images, as {source} reads them.")
    return pd.DataFrame({"image_id": table.image_ids[sure], **labels.rows(sure)})


def write_pseudo_labels(chosen: pd.DataFrame, folder: Path) -> None:
    """What was added, beside the run's other files."""
    with replacing(folder / PSEUDO_FILE) as temporary:
        chosen.to_csv(temporary, index=False)


def cache_test_images(chosen: pd.DataFrame, test: TestSet, data: DataConfig) -> tuple[Path, NDArray[np.int64]]:
    """A cache of all test images, the same whatever is chosen from them, and the rows (n,) of the chosen ones in it.

    Raises InputError for an image that is not there.
    """
    everything = pd.DataFrame({"image_id": np.concatenate([shard.image_ids for shard in test.shards])})
    rows = pd.Index(everything["image_id"]).get_indexer(pd.Index(chosen["image_id"]))
    if (rows < 0).any():
        unknown = chosen["image_id"].iloc[int(np.flatnonzero(rows < 0)[0])]
        raise InputError(f"data.pseudo: {unknown} is no test image of this data folder. Predict this folder again.")
    return build_cache(TrainSet(everything, test.shards), data), rows.astype(np.int64)


def confidence(table: Predictions) -> NDArray[np.float32]:
    """(N,): the probability of the most probable class in the head that is the least sure."""
    return np.min([table.probabilities[name].max(axis=1) for name in HEAD_NAMES], axis=0)


def pseudo_table(config: Config, fold: int) -> Path:
    return open_member(config.data.pseudo, fold).test(fold, Path(config.data.root))


def check_pseudo(config: Config, folds: list[int]) -> None:
    """Raises ConfigError now where the networks that data.pseudo names can't teach these folds."""
    if not config.data.pseudo:
        return
    if not (Path(config.data.root) / "test.csv").exists():
        raise ConfigError(f"data.pseudo={config.data.pseudo}: {config.data.root} has no test images.")
    for fold in folds:
        path = pseudo_table(config, fold)
        check_same_split(config, path.parent, "data.pseudo")
        if not path.exists():
            raise ConfigError(
                f"data.pseudo={config.data.pseudo}: {path} is not there. "
                f"Make it: ./run.sh predict run={config.data.pseudo} fold={fold} data.root={config.data.root}"
            )
