"""The cache of resized images: right, built once, built anew when it must be, and never half."""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import NUM_TRAIN, SMALL, Blocks, number_of, paint_blocks, paint_number, read_number

from okkhor.config import DataConfig
from okkhor.data import cache
from okkhor.data.cache import build_cache, make_cache_key, open_cache
from okkhor.data.competition import TrainSet
from okkhor.data.shards import Shard


@pytest.fixture
def shards_read(monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """The shards read so far, by paint_blocks."""
    reads: list[Shard] = []

    def read(shard: Shard, scratch: Path) -> Blocks:
        reads.append(shard)
        return paint_blocks(shard, scratch)

    monkeypatch.setattr(cache, "read_images", read)
    return reads


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    return DataConfig(root="input/small", size=SMALL, cache_dir=str(tmp_path / "cache"))


def assert_good(path: Path, train: TrainSet) -> None:
    images = open_cache(path)
    assert images.shape == (NUM_TRAIN, SMALL, SMALL)
    assert [read_number(image) for image in images] == [number_of(image_id) for image_id in train.table["image_id"]]


def test_row_i_is_the_image_of_row_i_of_train_csv_resized(train_set: TrainSet, small_cache: Path) -> None:
    image_ids = train_set.table["image_id"]
    assert [number_of(i) for i in image_ids] != list(range(NUM_TRAIN)), "the order must differ from the shards'"
    assert_good(small_cache, train_set)
    expected = cv2.resize(255 - paint_number(number_of(image_ids[7])), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(open_cache(small_cache)[7], expected)


def test_images_are_mapped_read_only(train_set: TrainSet, data: DataConfig, shards_read: list[Shard]) -> None:
    images = open_cache(build_cache(train_set, data))
    assert shards_read
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_a_second_start_reads_no_shard(train_set: TrainSet, data: DataConfig, shards_read: list[Shard]) -> None:
    first = build_cache(train_set, data)
    before = first.stat().st_mtime_ns
    assert len(shards_read) == len(train_set.shards)
    assert build_cache(train_set, replace(data, num_workers=3)) == first
    assert len(shards_read) == len(train_set.shards)
    assert first.stat().st_mtime_ns == before


@pytest.mark.parametrize(("key", "value"), [("size", SMALL + 1), ("crop_to_ink", True)])
def test_another_setting_of_the_images_gets_a_cache_of_its_own(
    train_set: TrainSet, data: DataConfig, shards_read: list[Shard], key: str, value: int
) -> None:
    first = build_cache(train_set, data)
    second = build_cache(train_set, DataConfig(**(asdict(data) | {key: value})))
    assert second != first
    assert len(shards_read) == 2 * len(train_set.shards)
    assert_good(first, train_set)


def test_a_changed_source_file_gets_a_new_cache(train_set: TrainSet, data: DataConfig, tmp_path: Path) -> None:
    copies = [replace(s, path=Path(shutil.copy2(s.path, tmp_path / s.path.name))) for s in train_set.shards]
    train = TrainSet(train_set.table, tuple(copies))
    key = make_cache_key(train, data)
    assert key == make_cache_key(train, data) == make_cache_key(train_set, data)
    changed = copies[1].path
    os.utime(changed, ns=(changed.stat().st_atime_ns, changed.stat().st_mtime_ns + 1))
    assert make_cache_key(train, data) != key


def test_another_order_of_train_csv_gets_a_new_cache(
    train_set: TrainSet, data: DataConfig, shards_read: list[Shard]
) -> None:
    turned = TrainSet(train_set.table[::-1].reset_index(drop=True), train_set.shards)
    first, second = build_cache(train_set, data), build_cache(turned, data)
    assert second != first
    assert len(shards_read) == 2 * len(train_set.shards)
    assert_good(first, train_set)
    assert_good(second, turned)


def test_corrected_labels_need_no_new_cache(train_set: TrainSet, data: DataConfig) -> None:
    table: pd.DataFrame = train_set.table.assign(vowel_diacritic=1)
    assert make_cache_key(TrainSet(table, train_set.shards), data) == make_cache_key(train_set, data)


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY", b"no numpy file"])
def test_a_damaged_cache_is_built_again(
    train_set: TrainSet, data: DataConfig, shards_read: list[Shard], left: bytes
) -> None:
    path = build_cache(train_set, data)
    path.write_bytes(left)
    assert_good(build_cache(train_set, data), train_set)
    assert len(shards_read) == 2 * len(train_set.shards)


def test_a_truncated_cache_is_built_again(train_set: TrainSet, data: DataConfig, shards_read: list[Shard]) -> None:
    path = build_cache(train_set, data)
    os.truncate(path, path.stat().st_size - 1)
    assert_good(build_cache(train_set, data), train_set)
    assert len(shards_read) == 2 * len(train_set.shards)


def test_a_cache_whose_building_failed_is_not_there(
    train_set: TrainSet, data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(shard: Shard, scratch: Path) -> Blocks:
        yield next(paint_blocks(shard, scratch))
        raise OSError("the disk is gone")

    monkeypatch.setattr(cache, "read_images", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        build_cache(train_set, data)
    assert not list(Path(data.cache_dir).glob("small-*/images.npy"))
    monkeypatch.setattr(cache, "read_images", paint_blocks)
    assert_good(build_cache(train_set, data), train_set)


def test_a_cache_whose_builder_was_killed_is_built_again(
    train_set: TrainSet, data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(shard: Shard, scratch: Path) -> Blocks:
        yield next(paint_blocks(shard, scratch))
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(cache, "read_images", die)
    builder = multiprocessing.get_context("fork").Process(target=build_cache, args=(train_set, data))
    builder.start()
    builder.join(30)
    assert builder.exitcode == -signal.SIGKILL
    assert any(Path(data.cache_dir).iterdir()), "it died before it began"
    monkeypatch.setattr(cache, "read_images", paint_blocks)
    assert_good(build_cache(train_set, data), train_set)
    assert not list(Path(data.cache_dir).glob(".*building")), "the killed builder's file is still there"


def test_two_processes_at_once_end_with_one_good_cache_built_once(
    train_set: TrainSet, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"

    def read_slowly(shard: Shard, scratch: Path) -> Blocks:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        return paint_blocks(shard, scratch)

    monkeypatch.setattr(cache, "read_images", read_slowly)
    context = multiprocessing.get_context("fork")
    builders = [context.Process(target=build_cache, args=(train_set, data)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert len(log.read_text().split()) == len(train_set.shards)
    folders = [path for path in Path(data.cache_dir).iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert_good(folders[0] / "images.npy", train_set)
