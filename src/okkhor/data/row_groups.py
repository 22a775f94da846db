"""`cut_footer`: read a parquet file of many row groups a few at a time.

A file's footer describes each column of each row group. pyarrow reads all of it at once and takes 1.1 kB for each: 35
MB for one row group of 32,333 columns, 6.3 GB for 200. Here the footer is cut between row groups: the schema and a few
row groups make a footer of their own, which pyarrow takes for the file's.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from okkhor.errors import InputError

BYTES_AT_ONCE = 1 << 22  # of the footer: 1 or 2 row groups
NUMBER = rb"([\x80-\xff]*[\x00-\x7f])"  # Thrift's compact protocol: 7 bits a byte, the last one below 128
LIST = b"\x19\xfc"  # the next field is a list of structs, whose length follows
SCHEMA = re.compile(rb"\x15" + NUMBER + LIST + NUMBER)  # the format's version; the columns and their root
ROW_GROUPS = re.compile(rb"\x16" + NUMBER + rb"\x19(?:\xfc" + NUMBER + rb"|([\x0c-\xec]))\Z")
"""The number of rows; the list of row groups, whose length is a number, or four bits where it is less than 15."""


def cut_footer(path: Path) -> Iterator[bytes]:
    """Yield a small parquet file for every few row groups: a footer alone, whose places are those of the whole file.

    Raises InputError where the footer is not as the format wants it.
    """
    with path.open("rb") as file:
        stop = file.seek(-8, 2)  # the footer's length, uint32, and PAR1
        start = max(0, stop - int.from_bytes(file.read(4), "little"))
        head, places = _find_row_groups(file, start, stop)
        if not places:
            raise InputError(
                f"{path}: damaged or truncated parquet (no row groups in a large footer). Copy it here again, or write "
                "it with fewer row groups."
            )
        first = 0
        while first < len(places) - 1:
            last = first + 1
            while last < len(places) - 1 and places[last + 1] - places[first] <= BYTES_AT_ONCE:
                last += 1
            file.seek(places[first])
            groups = file.read(places[last] - places[first])
            end = b"" if places[last] == stop else b"\x00"  # the last row group has the footer's own end behind it
            footer = head + LIST + _to_bytes(last - first) + groups + end
            yield b"".join((b"PAR1", footer, len(footer).to_bytes(4, "little"), b"PAR1"))
            first = last


def _find_row_groups(file: BinaryIO, start: int, stop: int) -> tuple[bytes, list[int]]:
    """Find the footer's head up to the list of row groups, and the place of each row group; the last is the end.

    A row group begins with the list of its columns, and this list with the number of columns. Without row groups as
    many as the list says, return no places.
    """
    file.seek(start)
    head = file.read(min(BYTES_AT_ONCE, stop - start))
    schema = SCHEMA.match(head)
    mark = LIST + _to_bytes(_to_number(schema[2]) - 1) if schema else LIST  # without the root
    head = head[: max(0, head.find(mark, schema.end() if schema else 0))]
    found = ROW_GROUPS.search(head, max(0, len(head) - 24))  # two numbers, of 10 bytes at most
    if schema is None or found is None:
        return b"", []
    num_groups = _to_number(found[2]) if found[2] else found[3][0] >> 4
    places = []
    for first in range(start + len(head), stop, BYTES_AT_ONCE):
        file.seek(first)
        block = file.read(min(BYTES_AT_ONCE + len(mark) - 1, stop - first))
        places += [first + one.start() for one in re.finditer(re.escape(mark), block)]
    if len(places) < num_groups:
        return b"", []
    return head[: found.end(1)], [*places[:num_groups], stop]  # the orders of the columns, the last, begin so too


def _to_bytes(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _to_bytes(number >> 7)


def _to_number(text: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(text))
