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
from okkhor.schema import HEAD_NAMES, HEADS, Head

Labels = Mapping[str, NDArray[np.int64]]
"""For each head, (N,) int64."""

REMEDY = "Delete it and make it again."


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
        raise InputError(f"{path}: can't be read as parquet ({error}). {REMEDY}") from error
    needed = ["image_id", *(f"{head.name}_prob" for head in HEADS)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: no predictions table, it lacks the columns {', '.join(missing)}.")
    known = set(HEAD_NAMES) <= set(table.column_names)
    for name in [*needed, *(HEAD_NAMES if known else ())]:
        if table[name].null_count:
            raise InputError(f"{path}: {name} is missing in {table[name].null_count} rows. {REMEDY}")
    return Predictions(
        image_ids=_read_ids(table["image_id"], path),
        probabilities={head.name: _read_list(table[f"{head.name}_prob"], head, path) for head in HEADS},
        labels={head.name: _read_labels(table[head.name], head, path) for head in HEADS} if known else None,
    )


def _read_ids(column: pa.ChunkedArray, path: Path) -> NDArray[np.str_]:
    image_ids = np.asarray(column.to_pylist(), dtype=np.str_)
    values, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path}: image {values[counts > 1][0]} stands twice. {REMEDY}")
    return image_ids


def _read_labels(column: pa.ChunkedArray, head: Head, path: Path) -> NDArray[np.int64]:
    labels = column.to_numpy()
    if not pa.types.is_integer(column.type) or ((labels < 0) | (labels >= head.num_classes)).any():
        raise InputError(f"{path}: {head.name} is not all whole numbers from 0 to {head.num_classes - 1}. {REMEDY}")
    return labels.astype(np.int64)


def _read_list(column: pa.ChunkedArray, head: Head, path: Path) -> NDArray[np.float32]:
    if column.type != pa.list_(pa.float32(), head.num_classes):
        raise InputError(
            f"{path}: expected {head.name}_prob as lists of {head.num_classes} float32, found {column.type}. {REMEDY}"
        )
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    probabilities = np.asarray(values, np.float32).reshape(-1, head.num_classes)
    if not np.isfinite(probabilities).all():
        raise InputError(f"{path}: {head.name}_prob holds values that are no finite numbers. {REMEDY}")
    return probabilities
