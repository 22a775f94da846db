"""`Predictions`: the one table that train, score, predict and ensemble exchange, and its parquet file.

The file's columns: `image_id`; `<head>`, the true label, where known; `<head>_pred`, the decoded label; `<head>_prob`,
the probabilities of the head's classes, a fixed-size list of float32; `<head>_grapheme_prob`, the same from the
grapheme head, where there is one; `unseen`, whether training lacked the image's grapheme, where known.
`pandas.read_parquet` alone reads it.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.errors import InputError, first_line
from okkhor.files import replacing
from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS

Probabilities = Mapping[str, NDArray[np.float32]]
"""For each head, (N, num_classes) float32; each row sums to 1."""

CHECKSUM = b"okkhor_crc32"  # its key in the file's metadata
IMAGES = b"okkhor_images"  # the key of the fingerprint of the shards that a table of test images was made from
IMAGES_AT_ONCE = 2048  # 11 MB of the probabilities of 1,295 graphemes
IMAGES_READ_AT_ONCE = 8192  # 5.5 MB of a column's probabilities
BYTES_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Predictions:
    """What networks predict for N images."""

    image_ids: NDArray[np.str_]  # (N,)
    probabilities: Probabilities  # of the three heads
    labels: Labels | None = None  # the true labels; None: not known
    marginals: Probabilities | None = None  # summed over the grapheme head's graphemes; None: there is no such head
    unseen: NDArray[np.bool_] | None = None  # (N,), whether training lacked the image's grapheme; None: not known

    def __len__(self) -> int:
        return len(self.image_ids)


def blocks(num_images: int) -> Iterator[slice]:
    """Split the rows of a table into blocks; what is computed from one block stays in the processor's cache."""
    for start in range(0, num_images, IMAGES_AT_ONCE):
        yield slice(start, min(start + IMAGES_AT_ONCE, num_images))


def concatenate(tables: Sequence[Predictions]) -> Predictions:
    """Join tables of different images. A column that one table lacks (labels, marginals, unseen) is left out.

    Raises InputError where two tables have the same image.
    """
    if len(tables) == 1:  # a copy would take as much memory again
        return tables[0]
    image_ids = np.concatenate([table.image_ids for table in tables])
    ids, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"Image {ids[counts > 1][0]} is predicted by two folds: their folds files differ.")
    labels = [table.labels.array for table in tables if table.labels is not None]
    marginals = [table.marginals for table in tables if table.marginals is not None]
    unseen = [table.unseen for table in tables if table.unseen is not None]
    return Predictions(
        image_ids=image_ids,
        probabilities=_stack([table.probabilities for table in tables]),
        labels=Labels(np.concatenate(labels)) if len(labels) == len(tables) else None,
        marginals=_stack(marginals) if len(marginals) == len(tables) else None,
        unseen=np.concatenate(unseen) if len(unseen) == len(tables) else None,
    )


def _stack(tables: Sequence[Probabilities]) -> Probabilities:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def take(predictions: Predictions, rows: NDArray[Any] | slice) -> Predictions:
    """Select rows, in this order: (n,) int64, (N,) bool, or a slice, which copies nothing."""
    marginals = predictions.marginals
    return Predictions(
        image_ids=predictions.image_ids[rows],
        probabilities={name: values[rows] for name, values in predictions.probabilities.items()},
        labels=None if predictions.labels is None else predictions.labels.rows(rows),
        marginals=None if marginals is None else {name: values[rows] for name, values in marginals.items()},
        unseen=None if predictions.unseen is None else predictions.unseen[rows],
    )


def write_predictions(predictions: Predictions, decoded: Labels, path: Path, images: str = "") -> None:
    """Write the table, whole or not at all.

    decoded: the labels to write as `<head>_pred`. images: the fingerprint of the shards that were predicted.
    """
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
    table = pa.table(columns).replace_schema_metadata({CHECKSUM: _checksum(predictions), IMAGES: images})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _to_lists(values: NDArray[np.float32]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _checksum(predictions: Predictions) -> str:
    """CRC-32 of all that is read back. Parquet's own checksums leave out the columns' names and types."""
    value = zlib.crc32("\n".join(predictions.image_ids.tolist()).encode())
    arrays: dict[str, NDArray[Any]] = {}
    for kind, tables in (("probabilities", predictions.probabilities), ("marginals", predictions.marginals or {})):
        arrays |= {f"{kind} {name}": np.asarray(values, np.float32) for name, values in tables.items()}
    arrays |= {f"labels {name}": values for name, values in (predictions.labels or {}).items()}
    if predictions.unseen is not None:
        arrays["unseen"] = predictions.unseen
    for name, array in arrays.items():
        value = zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


@contextmanager
def _open_table(path: Path) -> Iterator[pq.ParquetFile]:
    """Raises InputError where the file is missing, damaged, or no predictions table."""
    try:
        # Read at once, lists take four times the memory of their numbers and six times as long.
        with pq.ParquetFile(path, buffer_size=BYTES_READ_AT_ONCE, pre_buffer=False) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Train that fold first, or predict with its run.") from None
    except (InputError, pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: no predictions table ({first_line(error)}). Delete it and make it again.") from error


def read_note(path: Path, key: bytes = CHECKSUM) -> str:
    """Return what a table's end notes: its checksum, or IMAGES, "" where unknown. Raises as read_predictions."""
    with _open_table(path) as file:
        return str((file.schema_arrow.metadata or {}).get(key, b"").decode())


def read_predictions(path: Path, images: str = "") -> Predictions:
    """Read a table back. images: the fingerprint of the shards that it should be made from.

    Raises InputError where the file is missing, damaged, no predictions table, or of other images.
    """
    if images and read_note(path, IMAGES) not in ("", images):
        raise InputError(f"{path}: made from other test images than data.root has now. Make it anew: ./run.sh predict")
    with _open_table(path) as file:
        return _read_table(file)


def _read_table(file: pq.ParquetFile) -> Predictions:
    names = file.schema_arrow.names
    image_ids = _read_column(file, "image_id", pa.string()).astype(np.str_)
    labels = {name: _read_column(file, name, pa.int64()) for name in HEAD_NAMES if name in names}
    has_marginals = any(f"{name}_grapheme_prob" in names for name in HEAD_NAMES)

    def read_lists(ending: str) -> Probabilities:
        return {head.name: _read_lists(file, head.name + ending, head.num_classes, len(image_ids)) for head in HEADS}

    predictions = Predictions(
        image_ids=image_ids,
        probabilities=read_lists("_prob"),
        labels=Labels.from_columns(labels) if labels else None,
        marginals=read_lists("_grapheme_prob") if has_marginals else None,
        unseen=_read_column(file, "unseen", pa.bool_()) if "unseen" in names else None,
    )
    if (file.schema_arrow.metadata or {}).get(CHECKSUM) != _checksum(predictions).encode():
        raise InputError("its checksum is not that of its content")
    return predictions


def _read_column(file: pq.ParquetFile, name: str, expected: pa.DataType) -> NDArray[Any]:
    _check_type(file, name, expected)
    column = file.read([name])[name]
    if column.null_count:
        raise InputError(f"{name} is missing in {column.null_count} rows")
    return column.to_numpy()


def _read_lists(file: pq.ParquetFile, name: str, num_classes: int, num_images: int) -> NDArray[np.float32]:
    """(N, num_classes) float32, read a block of images at a time."""
    _check_type(file, name, pa.list_(pa.float32(), num_classes))
    probabilities = np.empty((num_images, num_classes), np.float32)
    first = 0
    for batch in file.iter_batches(IMAGES_READ_AT_ONCE, columns=[name]):
        probabilities[first : first + len(batch)] = batch.column(0).flatten().to_numpy().reshape(-1, num_classes)
        first += len(batch)
    return probabilities


def _check_type(file: pq.ParquetFile, name: str, expected: pa.DataType) -> None:
    found = [field.type for field in file.schema_arrow if field.name == name]
    if found != [expected]:
        raise InputError(f"expected one column {name} of {expected}, found {' and '.join(map(str, found)) or 'none'}")
