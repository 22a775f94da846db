"""The parquet shards: image_id and 32,332 uint8 pixel columns, read in bounded memory whatever their row groups.

pandas needs 7.5 GB for one shard of 50,210 images, since every column comes into memory at once. Here a block of
columns at a time is decoded, turned into rows and written to an unlinked file; images are then put together from there.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.data.tables import PLAIN_TEXT, PLAIN_TEXT_MEANS
from okkhor.errors import InputError
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS

PIXEL_COLUMNS = [str(pixel) for pixel in range(NUM_PIXELS)]
EXPECTED_COLUMNS = ["image_id", *PIXEL_COLUMNS]
IMAGE_ID = re.compile(PLAIN_TEXT)  # as in the csv files; numpy gives each id as much room as the longest one has
COLUMNS_PER_BLOCK = 512  # decoded at a time: pyarrow's own memory is for columns, however few their rows
IMAGES_PER_BLOCK = 1024  # 33 MB of pixels
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError)  # what pyarrow raises for a damaged file


@dataclass(frozen=True)
class Shard:
    """One parquet file. image_ids: (N,) str, in the file's order."""

    path: Path
    image_ids: NDArray[np.str_]


def open_shards(root: Path, split: str) -> tuple[Shard, ...]:
    """The files <split>_image_data_<k>.parquet of a folder, by k, each checked by its schema.

    Raises InputError for a missing, empty, truncated or wrongly laid out file, and for an image that stands twice.
    """
    paths = sorted(root.glob(f"{split}_image_data_*.parquet"), key=_shard_number)
    if not paths:
        raise InputError(f"{root}/{split}_image_data_0.parquet: not there. Expected Kaggle's files (input/README.md).")
    numbers = [_shard_number(path) for path in paths]
    if numbers != list(range(len(paths))):
        gap = next(k for k in range(len(paths)) if k not in numbers)
        raise InputError(f"{root}: {split}_image_data_{gap}.parquet is missing, though {paths[-1].name} is there.")
    shards = tuple(open_shard(path) for path in paths)
    _check_unique(shards)
    return shards


def _shard_number(path: Path) -> int:
    text = path.stem.rpartition("_")[2]
    if not text.isdecimal():
        raise InputError(f"{path}: expected a number before .parquet, such as train_image_data_0.parquet.")
    return int(text)


def open_shard(path: Path) -> Shard:
    """Check the schema of a shard and read its image_ids."""
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
        with open_parquet(path) as file:
            _check_schema(path, file.schema_arrow)
            image_ids = file.read(columns=["image_id"])["image_id"].to_pylist()
    except DAMAGED as error:
        raise _damaged(path, error) from error
    if not image_ids:
        raise InputError(f"{path}: 0 rows, expected at least one image.")
    if None in image_ids:
        raise InputError(f"{path}: image_id is missing in {image_ids.count(None)} rows.")
    wrong = next((row for row, text in enumerate(image_ids) if not IMAGE_ID.fullmatch(text)), None)
    if wrong is not None:
        raise InputError(
            f"{path}: image_id of row {wrong + 1} is '{image_ids[wrong][:40]}', expected {PLAIN_TEXT_MEANS}."
        )
    return Shard(path, np.asarray(image_ids, dtype=np.str_))


def open_parquet(path: Path) -> pq.ParquetFile:
    """Where the file has checksums, as the rendered sample's have, they are compared; Kaggle's have none."""
    return pq.ParquetFile(path, page_checksum_verification=True)


def _damaged(path: Path, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return InputError(f"{path}: damaged or truncated parquet ({reason}). Copy or download it again.")


def _check_schema(path: Path, schema: pa.Schema) -> None:
    found = schema.names
    if found == EXPECTED_COLUMNS:
        _check_types(path, schema)
        return
    missing = list(dict.fromkeys(EXPECTED_COLUMNS).keys() - dict.fromkeys(found).keys())
    extra = list(dict.fromkeys(found).keys() - dict.fromkeys(EXPECTED_COLUMNS).keys())
    extra += [name for name, count in Counter(found).items() if count > 1]
    if missing or extra:
        raise InputError(
            f"{path}: {len(found)} columns, expected image_id and '0' to '{NUM_PIXELS - 1}'; "
            f"missing: {_few(missing)}; extra: {_few(extra)}."
        )
    place = next(i for i, name in enumerate(found) if name != EXPECTED_COLUMNS[i])
    raise InputError(
        f"{path}: columns out of order: column {place + 1} is '{found[place]}', expected '{EXPECTED_COLUMNS[place]}'. "
        "The images would be scrambled. Take the original file."
    )


def _check_types(path: Path, schema: pa.Schema) -> None:
    if not (pa.types.is_string(schema.types[0]) or pa.types.is_large_string(schema.types[0])):
        raise InputError(f"{path}: image_id is {schema.types[0]}, expected string.")
    for name, kind in zip(PIXEL_COLUMNS, schema.types[1:], strict=True):
        if kind != pa.uint8():
            raise InputError(f"{path}: pixel column '{name}' is {kind}, expected uint8. Take the original file.")


def _few(names: Sequence[str]) -> str:
    names = sorted(names)
    return (", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")) or "none"


def _check_unique(shards: Sequence[Shard]) -> None:
    image_ids = np.concatenate([shard.image_ids for shard in shards])
    values, counts = np.unique(image_ids, return_counts=True)
    if (counts > 1).any():
        twice = values[counts > 1][0]
        places = [shard.path.name for shard in shards for _ in range(int((shard.image_ids == twice).sum()))]
        raise InputError(f"{shards[0].path.parent}: image {twice} stands twice: in {' and in '.join(places[:2])}.")


def read_images(shard: Shard, scratch: Path) -> Iterator[tuple[NDArray[np.str_], NDArray[np.uint8]]]:
    """Yield the shard's images in blocks: image_ids (n,) str, and pixels (n, 137, 236) uint8, dark ink on white.

    scratch: a folder on a disk with room for the decoded shard (1.6 GB for 50,210 images); its file has no name, so
    a killed process leaves nothing there.
    """
    num_images = len(shard.image_ids)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as raw:
        os.posix_fallocate(raw.fileno(), 0, num_images * NUM_PIXELS)  # a full disk is an error now, not in the middle
        starts = range(0, num_images, IMAGES_PER_BLOCK)
        for columns in _read_columns(shard):
            for start in starts:  # ext4 takes up to 5 times as long for all of it, 25 MB, at once
                part = columns[:, start : start + IMAGES_PER_BLOCK]
                raw.write(cv2.transpose(part).data)  # numpy's own takes 5 times as long
        for start in starts:
            stop = min(start + IMAGES_PER_BLOCK, num_images)
            block = np.empty((stop - start, NUM_PIXELS), np.uint8)
            for first in range(0, NUM_PIXELS, COLUMNS_PER_BLOCK):
                part = block[:, first : first + COLUMNS_PER_BLOCK]
                raw.seek(first * num_images + start * part.shape[1])
                part[:] = np.fromfile(raw, np.uint8, part.size).reshape(part.shape)
            yield shard.image_ids[start:stop], block.reshape(-1, IMAGE_HEIGHT, IMAGE_WIDTH)


def _read_columns(shard: Shard) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of (columns, images) uint8: the pixels in their order."""
    try:
        with open_parquet(shard.path) as file:
            for table in _decode_ahead(file):
                for name, column in zip(table.column_names, table.columns, strict=True):
                    if column.null_count:
                        image_id = shard.image_ids[column.is_null().to_numpy().argmax()]
                        raise InputError(f"{shard.path}: image {image_id} has no value in pixel column '{name}'.")
                if len(table) != len(shard.image_ids):
                    raise InputError(
                        f"{shard.path}: has {len(table)} images, but had {len(shard.image_ids)} when it was opened: "
                        "another file has taken its place. Start again."
                    )
                yield np.stack([column.to_numpy() for column in table.columns])
    except DAMAGED as error:
        raise _damaged(shard.path, error) from error


def _decode_ahead(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield blocks of pixel columns, the next one on its way: pyarrow alone leaves a fifth of two cores idle."""
    blocks = (PIXEL_COLUMNS[first : first + COLUMNS_PER_BLOCK] for first in range(0, NUM_PIXELS, COLUMNS_PER_BLOCK))
    with ThreadPoolExecutor(1) as thread:
        reads = (thread.submit(file.read, block) for block in blocks)
        read = next(reads)
        for following in reads:
            yield read.result()
            read = following
        yield read.result()
