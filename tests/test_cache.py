"""The cache of resized images: right, built once, built again when it must be, and never half."""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers import NUM_TRAIN, SMALL, Blocks, number_of, paint_blocks, paint_number, read_number

from okkhor.config import DataConfig
from okkhor.data import cache
from okkhor.data.cache import build_cache, make_cache_key, open_cache
from okkhor.data.competition import TrainSet
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import Shard


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each shard that was read; shards are read in no time, by any process."""
    path = tmp_path / "log"
    path.touch()

    def read(shard: Shard, scratch: Path) -> Blocks:
        with path.open("a") as file:
            file.write(f"{shard.path.name}\n")
        return paint_blocks(shard, scratch)

    monkeypatch.setattr(cache, "read_images", read)
    return path


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    return DataConfig(root="input/small", size=SMALL, cache_dir=str(tmp_path / "cache"))


def assert_good(path: Path, train: TrainSet) -> None:
    images = open_cache(path)
    assert images.shape == (NUM_TRAIN, SMALL, SMALL)
    assert [read_number(image) for image in images] == [number_of(image_id) for image_id in train.table["image_id"]]


def test_row_i_is_the_image_of_row_i_of_train_csv_resized_and_mapped_read_only(
    train_set: TrainSet, small_cache: Path
) -> None:
    image_ids = train_set.table["image_id"]
    assert [number_of(i) for i in image_ids] != list(range(NUM_TRAIN)), "the order must differ from the shards'"
    assert_good(small_cache, train_set)
    expected = cv2.resize(255 - paint_number(number_of(image_ids[7])), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    images = open_cache(small_cache)
    np.testing.assert_array_equal(images[7], expected)
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_a_second_start_reads_no_shard(train_set: TrainSet, data: DataConfig, log: Path) -> None:
    first = build_cache(train_set, data)
    before = first.stat().st_mtime_ns
    assert len(log.read_text().split()) == len(train_set.shards)
    assert build_cache(train_set, replace(data, num_workers=3)) == first
    assert len(log.read_text().split()) == len(train_set.shards)
    assert first.stat().st_mtime_ns == before


def test_another_setting_or_order_gets_a_cache_of_its_own(train_set: TrainSet, data: DataConfig, log: Path) -> None:
    turned = TrainSet(train_set.table[::-1].reset_index(drop=True), train_set.shards)
    first, other = build_cache(train_set, data), build_cache(turned, data)
    third = build_cache(train_set, replace(data, size=SMALL + 1))
    fourth = build_cache(train_set, replace(data, crop_to_ink=True))
    assert len({first, other, third, fourth}) == 4
    assert len(log.read_text().split()) == 4 * len(train_set.shards)
    assert_good(first, train_set)
    assert_good(other, turned)


def test_a_changed_shard_gets_a_new_cache_and_corrected_labels_do_not(
    train_set: TrainSet, data: DataConfig, tmp_path: Path
) -> None:
    copies = [replace(s, path=Path(shutil.copy2(s.path, tmp_path / s.path.name))) for s in train_set.shards]
    train = TrainSet(train_set.table.assign(vowel_diacritic=1), tuple(copies))
    key = make_cache_key(train, data)
    assert key == make_cache_key(train, data) == make_cache_key(train_set, data)
    changed = copies[1].path
    os.utime(changed, ns=(changed.stat().st_atime_ns, changed.stat().st_mtime_ns + 1))
    assert make_cache_key(train, data) != key


@pytest.mark.parametrize("damage", ["no content", "no numpy file", "truncated", "no checksum"])
def test_a_damaged_cache_is_built_again(train_set: TrainSet, data: DataConfig, log: Path, damage: str) -> None:
    path = build_cache(train_set, data)
    content = {"no content": b"", "no numpy file": b"text", "truncated": path.read_bytes()[:-1]}
    path.write_bytes(content.get(damage, path.read_bytes()))
    if damage == "no checksum":
        path.with_suffix(".crc32").unlink()
    assert_good(build_cache(train_set, data), train_set)
    assert len(log.read_text().split()) == 2 * len(train_set.shards)
    assert sorted(file.name for file in path.parent.iterdir()) == ["images.crc32", "images.npy"]


@pytest.mark.parametrize("end", ["an error", "a kill"])
def test_a_cache_whose_building_ended_early_is_not_there_and_built_again(
    train_set: TrainSet, data: DataConfig, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def stop(shard: Shard, scratch: Path) -> Blocks:
        yield next(paint_blocks(shard, scratch))
        if end == "a kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit(3)

    monkeypatch.setattr(cache, "read_images", stop)
    builder = multiprocessing.get_context("fork").Process(target=build_cache, args=(train_set, data))
    builder.start()
    builder.join(30)
    assert builder.exitcode == (-signal.SIGKILL if end == "a kill" else 3)
    assert any(Path(data.cache_dir).iterdir()), "it ended before it began"
    assert not list(Path(data.cache_dir).glob("small-*/images.npy"))
    monkeypatch.setattr(cache, "read_images", paint_blocks)
    assert_good(build_cache(train_set, data), train_set)
    assert len([path for path in Path(data.cache_dir).iterdir() if path.is_dir()]) == 1, "half a cache is left"


def test_two_processes_at_once_end_with_one_good_cache_built_once(
    train_set: TrainSet, data: DataConfig, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare_slowly(*arguments: Any) -> np.ndarray:
        time.sleep(0.1)
        return prepare_images(*arguments)

    monkeypatch.setattr(cache, "prepare_images", prepare_slowly)
    context = multiprocessing.get_context("fork")
    builders = [context.Process(target=build_cache, args=(train_set, data)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert len(log.read_text().split()) == len(train_set.shards)
    (images,) = Path(data.cache_dir).glob("*/images.npy")
    assert_good(images, train_set)
