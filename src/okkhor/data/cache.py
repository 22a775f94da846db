"""`build_cache` writes the train images at the training size into one uint8 file, which all processes map.

runs/.cache/<data folder>-<key>/images.npy is (N, size, size); row i is the image of row i of train.csv. The key depends
on the files and the settings: a cache that doesn't fit is never opened, and another is built beside it.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config import DataConfig
from okkhor.data.competition import TrainSet
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import read_images
from okkhor.files import allocate_images, checksum, holding, replacing_folder

CACHE_FORMAT = 2  # raise it when prepare_image changes


def make_cache_key(train: TrainSet, data: DataConfig) -> str:
    """16 hexadecimal digits that depend on the shards, the order of train.csv, and the settings."""
    files = [(s.path.name, s.path.stat().st_size, s.path.stat().st_mtime_ns) for s in train.shards]
    order = hashlib.sha256("\n".join(train.table["image_id"]).encode()).hexdigest()
    description = json.dumps([CACHE_FORMAT, files, order, data.size, data.crop_to_ink])
    return hashlib.sha256(description.encode()).hexdigest()[:16]


def build_cache(train: TrainSet, data: DataConfig) -> Path:
    """Return the path of images.npy; first build it, in one pass over the shards, if it is missing or damaged.

    If two processes do so at once, the second waits and then finds it.
    """
    folder = Path(data.cache_dir) / f"{Path(data.root).resolve().name}-{make_cache_key(train, data)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with holding(folder.with_name(f"{folder.name}.lock")):
        if not _is_whole(folder / "images.npy"):  # a damaged image would be trained on
            with replacing_folder(folder) as partial:
                images = partial / "images.npy"
                _write_images(images, train, data, (len(train.table), data.size, data.size))
                images.with_suffix(".crc32").write_text(checksum(images))
    return folder / "images.npy"


def open_cache(path: Path) -> NDArray[np.uint8]:
    """Map (N, size, size) uint8 read-only: processes share its pages."""
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    assert images.dtype == np.uint8
    return images


def _is_whole(path: Path) -> bool:
    expected = path.with_suffix(".crc32")
    return path.is_file() and expected.is_file() and expected.read_bytes() == checksum(path).encode()


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
