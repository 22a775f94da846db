"""The one table that train, score, predict and ensemble exchange.

Its columns: `image_id`; `<head>`, the true label, where known; `<head>_pred`, the decoded label; `<head>_prob`, the
probabilities of the head's classes, a fixed-size list of float32. `pandas.read_parquet` alone reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.schema import HEADS

Labels = Mapping[str, NDArray[np.int64]]
"""For each head, (N,) int64."""


@dataclass(frozen=True)
class Predictions:
    """What networks say of N images.

    image_ids: (N,) str.
    probabilities: for each head, (N, num_classes) float32, each row sums to 1.
    labels: for each head, (N,) int64, the truth; None where it is not known.
    """

    image_ids: NDArray[np.str_]
    probabilities: Mapping[str, NDArray[np.float32]]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.image_ids)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """The images of all parts, one after the other; no image may stand in two of them."""
    image_ids = np.concatenate([part.image_ids for part in parts])
    ids, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"Image {ids[counts > 1][0]} is predicted by two folds: their folds files differ.")
    labels = [part.labels for part in parts]
    return Predictions(
        image_ids=image_ids,
        probabilities={h.name: np.concatenate([part.probabilities[h.name] for part in parts]) for h in HEADS},
        labels={h.name: np.concatenate([known[h.name] for known in labels if known is not None]) for h in HEADS}
        if all(known is not None for known in labels)
        else None,
    )


def write_predictions(predictions: Predictions, decoded: Labels, path: Path) -> None:
    """Write the table, whole or not at all. decoded: for each head, (N,) int64."""
    columns: dict[str, pa.Array] = {"image_id": pa.array(predictions.image_ids.tolist(), pa.string())}
    for head in HEADS:
        if predictions.labels is not None:
            columns[head.name] = pa.array(predictions.labels[head.name])
        columns[f"{head.name}_pred"] = pa.array(decoded[head.name])
        values = pa.array(np.ascontiguousarray(predictions.probabilities[head.name], np.float32).ravel())
        columns[f"{head.name}_prob"] = pa.FixedSizeListArray.from_arrays(values, head.num_classes)
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_predictions(path: Path) -> Predictions:
    """Read a table back. Raises InputError where the file is missing, damaged, or no predictions table."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Train that fold first, or predict with its run.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: can't be read as parquet ({error}). Delete it and make it again.") from error
    needed = ["image_id", *(f"{head.name}_prob" for head in HEADS)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: no predictions table, it lacks the columns {', '.join(missing)}.")
    names = [head.name for head in HEADS]
    return Predictions(
        image_ids=np.asarray(table["image_id"].to_pylist(), dtype=np.str_),
        probabilities={head.name: _read_list(table[f"{head.name}_prob"], head.num_classes, path) for head in HEADS},
        labels={name: table[name].to_numpy() for name in names} if set(names) <= set(table.column_names) else None,
    )


def _read_list(column: pa.ChunkedArray, width: int, path: Path) -> NDArray[np.float32]:
    if column.type != pa.list_(pa.float32(), width):
        raise InputError(f"{path}: expected probabilities as lists of {width} float32, found {column.type}.")
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32).reshape(-1, width)
