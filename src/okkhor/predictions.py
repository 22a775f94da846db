"""The one table that train, score, predict and ensemble exchange.

Its columns: `image_id`; `<head>`, the true label, where known; `<head>_pred`, the decoded label; `<head>_prob`, the
probabilities of the head's classes, a fixed-size list of float32; `<head>_grapheme_prob`, the same read off the head
over whole graphemes, where there is one; `unseen`, whether training lacked the image's grapheme, where that is known.
`pandas.read_parquet` alone reads it.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS, Head

Probabilities = Mapping[str, NDArray[np.float32]]
"""For each head, (N, num_classes) float32, each row sums to 1."""

REMEDY = "Delete it and make it again."
CHECKSUM = b"okkhor_crc32"  # its name in the file's metadata
IMAGES_AT_ONCE = 2048  # 11 MB of the probabilities of 1,295 graphemes
IMAGES_READ_AT_ONCE = 8192  # 5.5 MB of a column's probabilities
BYTES_READ_AT_ONCE = 1 << 20  # of the file


@dataclass(frozen=True)
class Predictions:
    """What networks say of N images.

    image_ids: (N,) str.
    probabilities: for each head, (N, num_classes) float32, each row sums to 1.
    labels: the truth; None where it is not known.
    marginals: like probabilities, summed over the graphemes of the grapheme head; None where there is none.
    unseen: (N,) bool, of which images the grapheme was held out of training; None where that is not known.
    """

    image_ids: NDArray[np.str_]
    probabilities: Probabilities
    labels: Labels | None = None
    marginals: Probabilities | None = None
    unseen: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)


def blocks(num_images: int) -> Iterator[slice]:
    """All rows of a table, a few at a time: what is made of a block is small, and still in the processor's cache."""
    for start in range(0, num_images, IMAGES_AT_ONCE):
        yield slice(start, min(start + IMAGES_AT_ONCE, num_images))


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """The images of all parts, one after the other; no image may stand in two of them."""
    image_ids = np.concatenate([part.image_ids for part in parts])
    ids, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"Image {ids[counts > 1][0]} is predicted by two folds: their folds files differ.")
    labels = [part.labels for part in parts if part.labels is not None]
    marginals = [part.marginals for part in parts if part.marginals is not None]
    unseen = [part.unseen for part in parts if part.unseen is not None]
    return Predictions(
        image_ids=image_ids,
        probabilities=_stack([part.probabilities for part in parts]),
        labels=Labels(np.concatenate([one.array for one in labels])) if len(labels) == len(parts) else None,
        marginals=_stack(marginals) if len(marginals) == len(parts) else None,
        unseen=np.concatenate(unseen) if len(unseen) == len(parts) else None,
    )


def _stack(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if len(parts) == 1:  # a copy would be all that it brings
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def take(predictions: Predictions, rows: NDArray[Any] | slice) -> Predictions:
    """These rows of the table, in this order. rows: (n,) int64, or (N,) bool, or a slice, which copies nothing."""

    def of(values: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]] | None:
        return None if values is None else {name: value[rows] for name, value in values.items()}

    return Predictions(
        image_ids=predictions.image_ids[rows],
        probabilities={name: value[rows] for name, value in predictions.probabilities.items()},
        labels=None if predictions.labels is None else predictions.labels.rows(rows),
        marginals=of(predictions.marginals),
        unseen=None if predictions.unseen is None else predictions.unseen[rows],
    )


def write_predictions(predictions: Predictions, decoded: Labels, path: Path) -> None:
    """Write the table, whole or not at all. decoded: the labels to be written as `<head>_pred`."""
    columns: dict[str, pa.Array] = {"image_id": pa.array(predictions.image_ids.tolist(), pa.string())}
    for head in HEADS:
        if predictions.labels is not None:
            columns[head.name] = pa.array(predictions.labels[head.name])
        columns[f"{head.name}_pred"] = pa.array(decoded[head.name])
        columns[f"{head.name}_prob"] = _to_lists(predictions.probabilities[head.name])
        if predictions.marginals is not None:
            columns[f"{head.name}_grapheme_prob"] = _to_lists(predictions.marginals[head.name])
    if predictions.unseen is not None:
        columns["unseen"] = pa.array(predictions.unseen)
    table = pa.table(columns).replace_schema_metadata({CHECKSUM: _checksum(predictions)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _checksum(predictions: Predictions) -> str:
    """CRC-32 of all that is read back. Parquet's own are of pages alone, without the columns' names and types."""
    value = zlib.crc32("\n".join(predictions.image_ids.tolist()).encode())
    arrays: dict[str, NDArray[Any]] = {}
    for part, tables in (("probabilities", predictions.probabilities), ("marginals", predictions.marginals or {})):
        arrays |= {f"{part} {name}": np.asarray(values, np.float32) for name, values in tables.items()}
    arrays |= {f"labels {name}": np.asarray(values, np.int64) for name, values in (predictions.labels or {}).items()}
    if predictions.unseen is not None:
        arrays["unseen"] = predictions.unseen
    for name, array in arrays.items():
        value = zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


def read_checksum(path: Path) -> str:
    """Return the checksum that a table carries; reads the file's end alone. Raises InputError as read_predictions."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Train that fold first, or predict with its run.") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: can't be read as parquet. {REMEDY}") from error
    return str(metadata.get(CHECKSUM, b"").decode())


def _to_lists(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def read_predictions(path: Path) -> Predictions:
    """Read a table back. Raises InputError where the file is missing, damaged, or no predictions table."""
    try:
        # Read at once, lists take four times the memory of their numbers and six times as long.
        with pq.ParquetFile(path, buffer_size=BYTES_READ_AT_ONCE, pre_buffer=False) as file:
            return _read_columns(file, path)
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Train that fold first, or predict with its run.") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"{path}: can't be read as parquet ({reason}). {REMEDY}") from error


def _read_columns(file: pq.ParquetFile, path: Path) -> Predictions:
    columns = Counter(file.schema_arrow.names)
    twice = sorted(name for name, count in columns.items() if count > 1)
    if twice:
        raise InputError(f"{path}: the column {twice[0]} stands twice. {REMEDY}")
    needed = ["image_id", *(f"{head.name}_prob" for head in HEADS)]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(f"{path}: no predictions table, it lacks the columns {', '.join(missing)}.")
    has_labels = set(HEAD_NAMES) <= set(columns)
    has_marginals = {f"{head.name}_grapheme_prob" for head in HEADS} <= set(columns)
    image_ids = _read_ids(_read_column(file, "image_id", path), path)
    num_images = len(image_ids)
    predictions = Predictions(
        image_ids=image_ids,
        probabilities={head.name: _read_lists(file, f"{head.name}_prob", head, num_images, path) for head in HEADS},
        labels=Labels.from_columns(
            {head.name: _read_labels(_read_column(file, head.name, path), head, path) for head in HEADS}
        )
        if has_labels
        else None,
        marginals={head.name: _read_lists(file, f"{head.name}_grapheme_prob", head, num_images, path) for head in HEADS}
        if has_marginals
        else None,
        unseen=_read_flags(_read_column(file, "unseen", path), path) if "unseen" in columns else None,
    )
    if (file.schema_arrow.metadata or {}).get(CHECKSUM) != _checksum(predictions).encode():
        raise InputError(f"{path}: has another checksum than its content, or none. {REMEDY}")
    return predictions


def _read_column(file: pq.ParquetFile, name: str, path: Path) -> pa.ChunkedArray:
    column = file.read([name])[name]
    _check_whole(column.null_count, name, path)
    return column


def _check_whole(num_missing: int, name: str, path: Path) -> None:
    if num_missing:
        raise InputError(f"{path}: {name} is missing in {num_missing} rows. {REMEDY}")


def _read_flags(column: pa.ChunkedArray, path: Path) -> NDArray[np.bool_]:
    if not pa.types.is_boolean(column.type):
        raise InputError(f"{path}: expected true or false in unseen, found {column.type}. {REMEDY}")
    return np.asarray(column.to_numpy(), np.bool_)


def _read_ids(column: pa.ChunkedArray, path: Path) -> NDArray[np.str_]:
    try:
        image_ids = np.asarray(column.to_pylist(), dtype=np.str_)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: image_id is not UTF-8. {REMEDY}") from error
    values, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path}: image {values[counts > 1][0]} stands twice. {REMEDY}")
    return image_ids


def _read_labels(column: pa.ChunkedArray, head: Head, path: Path) -> NDArray[np.int64]:
    labels = column.to_numpy()
    if not pa.types.is_integer(column.type) or ((labels < 0) | (labels >= head.num_classes)).any():
        raise InputError(f"{path}: {head.name} is not all whole numbers from 0 to {head.num_classes - 1}. {REMEDY}")
    return labels.astype(np.int64)


def _read_lists(file: pq.ParquetFile, name: str, head: Head, num_images: int, path: Path) -> NDArray[np.float32]:
    """(N, num_classes) float32, a block of images at a time."""
    kind = file.schema_arrow.field(name).type
    if kind != pa.list_(pa.float32(), head.num_classes):
        raise InputError(f"{path}: expected {name} as lists of {head.num_classes} float32, found {kind}. {REMEDY}")
    probabilities = np.empty((num_images, head.num_classes), np.float32)
    num_read = num_missing = 0
    for batch in file.iter_batches(IMAGES_READ_AT_ONCE, columns=[name]):
        lists, rows = batch.column(0), probabilities[num_read : num_read + len(batch)]
        num_read, num_missing = num_read + len(lists), num_missing + lists.null_count
        if not num_missing and len(rows) == len(lists):
            rows[:] = lists.flatten().to_numpy(zero_copy_only=False).reshape(rows.shape)
            if not np.isfinite(rows).all():
                raise InputError(f"{path}: {name} holds values that are no finite numbers. {REMEDY}")
    _check_whole(num_missing, name, path)
    if num_read != num_images:
        raise InputError(f"{path}: {name} has {num_read} rows, image_id {num_images}. {REMEDY}")
    return probabilities
