"""The train images at the training size, in one uint8 file that all processes map.

runs/.cache/<data folder>-<key>/images.npy is (N, size, size), row i the image of row i of train.csv. The key is made
of the source files and the settings, so a cache that does not fit is never opened, and another is built beside it.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config import DataConfig
from okkhor.data.competition import TrainSet
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import read_images
from okkhor.files import allocate_images, checksum, holding, sync

CACHE_FORMAT = 2  # raise it when prepare_image changes


def make_cache_key(train: TrainSet, data: DataConfig) -> str:
    """16 hexadecimal digits that change with the source files, the order of train.csv, or the settings."""
    files = [(s.path.name, s.path.stat().st_size, s.path.stat().st_mtime_ns) for s in train.shards]
    order = hashlib.sha256("\n".join(train.table["image_id"]).encode()).hexdigest()
    description = json.dumps([CACHE_FORMAT, files, order, data.size, data.crop_to_ink])
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def build_cache(train: TrainSet, data: DataConfig) -> Path:
    """The path of images.npy, built in one pass over the shards where it is not there yet.

    Two processes at once: the second waits, then finds it. Killed half-way: what is left is built again.
    """
    key = make_cache_key(train, data)
    folder = Path(data.cache_dir) / f"{Path(data.root).resolve().name}-{key}"
    shape = (len(train.table), data.size, data.size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with holding(folder.with_name(f"{folder.name}.lock")):
        images = folder / "images.npy"
        if not _is_whole(images):
            temporary = folder.with_name(f".{folder.name}.building")
            for leftover in (temporary, folder):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary.mkdir()
            _write_images(temporary / "images.npy", train, data, shape)
            _checksum_file(temporary / "images.npy").write_text(checksum(temporary / "images.npy"))
            temporary.rename(folder)
            sync(folder.parent)
    return images


def open_cache(path: Path) -> NDArray[np.uint8]:
    """(N, size, size) uint8, mapped read-only: processes share its pages."""
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    assert images.dtype == np.uint8
    return images


def _is_whole(path: Path) -> bool:
    """Whether all bytes are as they were written: a damaged image would be trained on."""
    expected = _checksum_file(path)
    return path.is_file() and expected.is_file() and expected.read_bytes() == checksum(path).encode()


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".crc32")


def _write_images(path: Path, train: TrainSet, data: DataConfig, shape: tuple[int, int, int]) -> None:
    rows = {image_id: row for row, image_id in enumerate(train.table["image_id"])}
    allocate_images(path, shape)
    with tqdm(total=len(rows), desc="Resizing images", unit="image", disable=None) as bar:
        for shard in train.shards:
            for image_ids, block in read_images(shard, path.parent):
                small = prepare_images(block, data.size, data.crop_to_ink)
                target = np.lib.format.open_memmap(path, "r+")  # mapped anew: its pages leave this process's memory
                target[[rows[image_id] for image_id in image_ids]] = small
                del target
                bar.update(len(block))
    sync(path)
