"""Shards of many row groups: the same images in bounded memory, whatever the layout."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import PROJECT, Refused, paint_number, shard_table, write_shard

from okkhor.data import row_groups, shards
from okkhor.data.shards import open_shard, read_images

COLUMNS = b"\x19\xfc\xcd\xfc\x01"  # begins a row group's description: a list of 32,333 structs (Thrift, compact)
MEASURE = """if True:
    import re, sys
    from pathlib import Path
    from okkhor.data.shards import open_shard, read_images
    path, what = Path(sys.argv[1]), sys.argv[2]
    count = len(open_shard(path).image_ids)
    if what == "read":
        count = sum(int(images[:, 0, 0].sum()) for _, images in read_images(open_shard(path), path.parent))
    print(count, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # ru_maxrss counts pytest's
"""


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)


def write_repeated(path: Path, times: int) -> int:
    """Write two images, whose first pixels add up to 255 + 9, as one row group that the footer lists several times.

    pyarrow needs 320 s and 11.6 GB to write 200 row groups. Return the bytes that the footer has for each.
    """
    table = shard_table("Train", [0, 1]).set_column(1, "0", [np.array([255, 9], np.uint8)])
    pq.write_table(table, path, use_dictionary=False, write_statistics=False, compression="none", store_schema=False)
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    first, end = content.index(COLUMNS, start), content.rindex(b"\x28\x20parquet-cpp-arrow")
    head, group = content[start : first - len(b"\x16\x04\x19\x1c")], content[first:end]
    rows = b"\x16" + varint(2 * 2 * times) + b"\x19\xfc" + varint(times)
    size = len(head) + len(rows) + times * len(group) + len(content) - 8 - end
    with path.open("wb") as file:
        file.writelines([content[:start], head, rows, *[group] * times, content[end:-8]])
        file.write(size.to_bytes(4, "little") + b"PAR1")
    return len(group)


def measure(path: Path, what: str) -> tuple[int, int]:
    """Open or read a shard in a process of its own: the count that it prints, and its highest memory in bytes."""
    command = [sys.executable, "-c", MEASURE, str(path), what]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(PROJECT / "src")})
    assert done.returncode == 0, done.stderr
    count, peak = map(int, done.stdout.split())
    return count, peak * 1024


def test_a_shard_that_is_read_in_parts_has_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 25, item 3; row groups as pyarrow itself writes them, two of 2 MB at a time."""
    write_shard(shard_table("Train", range(5)), tmp_path / "x.parquet", rows_per_group=2)
    monkeypatch.setattr(shards, "LARGEST_FOOTER", 0)
    monkeypatch.setattr(shards, "IMAGES_PER_BLOCK", 3)
    monkeypatch.setattr(row_groups, "BYTES_AT_ONCE", 6_000_000)
    shard = open_shard(tmp_path / "x.parquet")
    assert shard.lengths == (4, 1)
    blocks = list(read_images(shard, tmp_path))
    assert [ids.tolist() for ids, _ in blocks] == [["Train_0", "Train_1", "Train_2"], ["Train_3"], ["Train_4"]]
    images = np.concatenate([images for _, images in blocks])
    np.testing.assert_array_equal(images, np.stack([paint_number(number) for number in range(5)]))


def test_many_row_groups_are_opened_in_bounded_memory(tmp_path: Path) -> None:
    """Issue 25, item 3: pyarrow takes 35 MB for the description of each row group, here 1.1 GB."""
    write_repeated(tmp_path / "x.parquet", 30)
    count, peak = measure(tmp_path / "x.parquet", "open")
    assert count == 60
    assert peak < 0.6e9


@pytest.mark.slow
@pytest.mark.parametrize("num_groups", [1, 8, 200])
def test_the_memory_does_not_grow_with_the_row_groups(tmp_path: Path, num_groups: int) -> None:
    """Issue 25, item 3: 6.40 GB with 200 row groups."""
    write_repeated(tmp_path / "x.parquet", num_groups)
    total, peak = measure(tmp_path / "x.parquet", "read")
    assert total == num_groups * (255 + 9)
    assert peak < 0.6e9


def test_5000_row_groups_are_more_than_a_parquet_file_can_have(tmp_path: Path, refused: Refused) -> None:
    """Issue 25, item 3: the footer's length has 32 bits, and the shortest description that pyarrow writes is longer."""
    path = tmp_path / "train_image_data_0.parquet"
    size = write_repeated(path, 1)
    assert 5000 * size > 2**32
    content = path.read_bytes()
    path.write_bytes(content[:-8] + (5000 * size % 2**32).to_bytes(4, "little") + b"PAR1")
    refused([path.name, "damaged or truncated parquet", "fewer row groups"], open_shard, path)
