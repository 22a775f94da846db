"""Read the parquet shards, which have image_id and 32,332 pixel columns: `open_shards`, then `read_images`.

pandas needs 7.5 GB for one shard of 50,210 images, because every column comes into memory at once. `read_images` needs
bounded memory: it decodes a block of columns at a time, turns it into rows, writes these to an unnamed file, and puts
the images together from that file. A file of many row groups is read in parts (row_groups.py).
"""

import hashlib
import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from okkhor.data.tables import PLAIN_TEXT, PLAIN_TEXT_MEANS
from okkhor.errors import InputError, first_line
from okkhor.files import allocate
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS

PIXEL_COLUMNS = [str(pixel) for pixel in range(NUM_PIXELS)]
EXPECTED_COLUMNS = ["image_id", *PIXEL_COLUMNS]
INDEX_COLUMN = re.compile(r"__index_level_\d__|Unnamed: 0|")  # into which pandas writes a table's index
IMAGE_ID = re.compile(PLAIN_TEXT)  # as in the csv files; numpy gives each id as much room as the longest one has
COLUMNS_PER_BLOCK = 512  # of uint8, decoded at a time: pyarrow's own memory grows with the columns, even of few rows
IMAGES_PER_BLOCK = 1024  # 33 MB of pixels
Blocks = Iterator[tuple[NDArray[np.str_], NDArray[np.uint8]]]
LARGEST_FOOTER = 1 << 24  # bytes that pyarrow reads at once: 5 to 10 row groups, 35 MB each in memory


@dataclass(frozen=True)
class Shard:
    """One parquet file. image_ids: (N,) str, in the file's order. lengths: the number of images of each part."""

    path: Path
    image_ids: NDArray[np.str_]
    lengths: tuple[int, ...]


def open_shards(root: Path, split: str, partial: bool = False) -> tuple[Shard, ...]:
    """Find <split>_image_data_<k>.parquet in a folder, check the columns of each, return them in the order of k.

    partial: whether some of the files may be missing. Raises InputError for a missing or damaged file, wrong columns,
    and an image that occurs twice.
    """
    found = sorted(root.glob(f"{split}_image_data_*.parquet"), key=lambda path: (len(path.name), path.name))
    paths = found if partial and found else [root / f"{split}_image_data_{k}.parquet" for k in range(len(found) or 1)]
    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path}: not there. Expected Kaggle's files, numbered from 0 (input/README.md); found: "
                f"{', '.join(sorted(file.name for file in found)[:5]) or 'none'}."
                + (" data.partial=true trains on a part." if found and split == "train" else "")
            )
    shards = tuple(open_shard(path) for path in paths)
    image_ids, counts = np.unique(np.concatenate([shard.image_ids for shard in shards]), return_counts=True)
    if (counts > 1).any():
        repeated = image_ids[counts > 1][0]
        places = [shard.path.name for shard in shards for _ in range(int((shard.image_ids == repeated).sum()))]
        raise InputError(f"{root}: image {repeated} occurs twice: in {' and in '.join(places[:2])}.")
    return shards


def fingerprint(shards: Sequence[Shard], *files: Path) -> str:
    """16 hexadecimal digits of what the images are, wherever they lie. files: read whole.

    Of each shard: its ids, its size, and its last 16 MB, which have the size and the extremes of each column.
    """
    digest = hashlib.sha256("".join(path.read_text("latin-1") for path in files).encode())
    for shard in shards:
        with shard.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LARGEST_FOOTER))
            digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update("\n".join([str(size), *shard.image_ids]).encode())
    return digest.hexdigest()[:16]


def open_shard(path: Path) -> Shard:
    """Check the columns of one shard and read its image_ids."""
    image_ids: list[str] = []
    lengths: list[int] = []
    for footer in _find_parts(path):
        with _open_parquet(path, footer) as file:
            _check_columns(path, file.schema_arrow)
            part = file.read(columns=["image_id"])["image_id"].to_pylist()
            image_ids, lengths = image_ids + part, [*lengths, len(part)]
    if not image_ids:
        raise InputError(f"{path}: 0 rows, expected at least one image.")
    wrong = next((row for row, text in enumerate(image_ids) if not IMAGE_ID.fullmatch(text or "")), None)
    if wrong is not None:
        found = f"'{image_ids[wrong][:40]}'" if image_ids[wrong] else "missing"
        raise InputError(f"{path}: image_id of row {wrong + 1} is {found}, expected {PLAIN_TEXT_MEANS}.")
    return Shard(path, np.asarray(image_ids, dtype=np.str_), tuple(lengths))


def _find_parts(path: Path) -> Iterable[bytes]:
    """Return the footers to read a file with: b"", its own, or where that is large, one for every few row groups."""
    size = 0
    with suppress(OSError), path.open("rb") as file:  # told when it is opened
        file.seek(-8, os.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
    if size <= LARGEST_FOOTER:
        return (b"",)
    from okkhor.data.row_groups import cut_footer  # Kaggle's files have few row groups

    return cut_footer(path)


@contextmanager
def _open_parquet(path: Path, footer: bytes) -> Iterator[pq.ParquetFile]:
    """Raises InputError for a damaged file. Compares checksums if it has them: the rendered sample's files do."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(footer)) if footer else None
        with pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(f"{path}: damaged or truncated parquet ({first_line(error)}). Copy it here again.") from error


def _check_columns(path: Path, schema: pa.Schema) -> None:
    """Take image_id in any place and as any tool writes text (polars: string_view, categorical); pixels in order."""
    found = [name for name in schema.names if not INDEX_COLUMN.fullmatch(name)]
    found.sort(key="image_id".__ne__)  # stable: image_id comes first, the others stay in their order
    if found != EXPECTED_COLUMNS:
        pairs = enumerate(zip_longest(found, EXPECTED_COLUMNS, fillvalue="none"), start=1)
        place, (name, expected) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
        raise InputError(
            f"{path}: {len(found)} columns, expected image_id and '0' to '{NUM_PIXELS - 1}' in this order: column "
            f"{place} is '{name[:40]}', expected '{expected}'. The images would be scrambled. Take the original file."
        )
    types = dict(zip(schema.names, schema.types, strict=True))
    kind = types["image_id"].value_type if pa.types.is_dictionary(types["image_id"]) else types["image_id"]
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(f"{path}: image_id is {types['image_id']}, expected string.")
    wrong = next((name for name in PIXEL_COLUMNS if not pa.types.is_integer(types[name])), None)
    if wrong:
        raise InputError(f"{path}: pixel column '{wrong}' is {types[wrong]}, expected uint8. Take the original file.")


def read_images(shard: Shard, scratch: Path) -> Blocks:
    """Yield the shard's images in blocks: image_ids (n,) str, and pixels (n, 137, 236) uint8, dark ink on white.

    scratch: a folder on a disk with room for the decoded shard (1.6 GB for 50,210 images). The file there has no name,
    so that a killed process leaves nothing behind.
    """
    footers = iter(_find_parts(shard.path))
    for image_ids in np.split(shard.image_ids, np.cumsum(shard.lengths)[:-1]):
        yield from _read_part(Shard(shard.path, image_ids, ()), next(footers, b""), scratch)


def _read_part(shard: Shard, footer: bytes, scratch: Path) -> Blocks:
    """Yield the images of a shard, or of a part of one."""
    num_images = len(shard.image_ids)
    starts = range(0, num_images, IMAGES_PER_BLOCK)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as raw:
        allocate(raw.fileno(), 0, num_images * NUM_PIXELS)  # a full disk is an error now, not in the middle
        widths = []
        for columns in _read_columns(shard, footer):
            widths.append(len(columns))
            for start in starts:  # ext4 takes up to 5 times as long for all of it, 25 MB, at once
                raw.write(cv2.transpose(columns[:, start : start + IMAGES_PER_BLOCK]).data)  # numpy: 5 times as long
        for start in starts:
            stop = min(start + IMAGES_PER_BLOCK, num_images)
            block = np.empty((stop - start, NUM_PIXELS), np.uint8)
            first = 0
            for width in widths:
                raw.seek(first * num_images + start * width)
                piece = np.fromfile(raw, np.uint8, (stop - start) * width)
                block[:, first : first + width] = piece.reshape(-1, width)
                first += width
            yield shard.image_ids[start:stop], block.reshape(-1, IMAGE_HEIGHT, IMAGE_WIDTH)


def _read_columns(shard: Shard, footer: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yield blocks of pixel columns in their order: (columns, images) uint8."""
    with _open_parquet(shard.path, footer) as file:
        for table in _decode_ahead(file):
            if len(table) != len(shard.image_ids):
                raise InputError(
                    f"{shard.path}: has {len(table)} images, but had {len(shard.image_ids)} when it was opened: "
                    "another file has taken its place. Start again."
                )
            yield np.stack([_to_pixels(name, table[name], shard) for name in table.column_names])


def _decode_ahead(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield blocks of columns while a thread decodes the next: pyarrow alone leaves a fifth of two cores idle.

    Wider integers come in narrower blocks, so that a block takes the same memory.
    """
    widest = max(kind.bit_width for kind in file.schema_arrow.types if pa.types.is_integer(kind))
    width = COLUMNS_PER_BLOCK * 8 // widest
    running: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for first in range(0, NUM_PIXELS, width):
            running.append(thread.submit(file.read, PIXEL_COLUMNS[first : first + width]))
            if len(running) == 2:
                yield running.popleft().result()
        yield running.popleft().result()


def _to_pixels(name: str, column: pa.ChunkedArray, shard: Shard) -> NDArray[np.uint8]:
    """(N,) uint8. Raises InputError for a missing value and for one that uint8 can't hold."""
    values = column.to_numpy()  # NaN where a value is missing
    if column.null_count or column.type != pa.uint8():
        wrong = np.flatnonzero(~((values >= 0) & (values <= 255)))
        if len(wrong):
            raise InputError(
                f"{shard.path}: image {shard.image_ids[wrong[0]]} has {values[wrong[0]]} in pixel column '{name}', "
                "expected a whole number from 0 to 255. Take the original file."
            )
    return values.astype(np.uint8, copy=False)
