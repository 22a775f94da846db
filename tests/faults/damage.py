"""Damage of files for these tests, and `call_told` and `check_error`, which check how a command refuses a file.

A damage function takes the content of a file and a random source, and returns the damaged content.
"""

import contextlib
import csv
import io
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from helpers import PROJECT, call

from okkhor.__main__ import explain, tell
from okkhor.errors import InputError

MOST_LINES, MOST_CHARACTERS = 11, 1200  # of a message: it lists ten wrong settings, and says how many more there are

Damage = Callable[[bytes, Random], bytes]
Rows = list[list[str]]

STRANGE_CELLS = (
    *("", " ", "0", "1", "-1", "+1", "1.0", "1e3", "0x10", "٣", "৩", "007", "999", "168", "9" * 40, "1" * 400),
    *("nan", "NA", "None", "True", "inf", "null", "#N/A", '"', '""', "a,b", "a\nb", "a\tb", "a\\nb", "'", "\x1b[31m"),
    *("../../x", "/etc/passwd", "a/b", "..", ".", "~", "C:\\x", "$(id)", "=1+1", "@SUM(1)", "+cmd|' /C calc'!A0"),
    *("Train_0", "Train_0 ", " Train_0", "Test_0", "train_0", "ক", "\u200d", "\u202e", "\ufeff", "e\u0301", "😀" * 30),
    *("x" * 300, "x" * 200_000, "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\x7f"),
)


def flip_bits(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(content: bytes, random: Random) -> bytes:
    start, length = random.randrange(len(content)), random.choice((1, 4, 64, 4096))
    new = random.choice((bytes(length), b"\xff" * length, random.randbytes(length)))
    return content[:start] + new[: len(content) - start] + content[start + length :]


def truncate(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def append(content: bytes, random: Random) -> bytes:
    return content + random.choice((b"\n", b"\0", b"x", b"\n\n", b" ", content, random.randbytes(16)))


def cut_out(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + content[start + random.choice((1, 2, 16, 512)) :]


def insert(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    tokens = (b'"', b",", b"\n", b"\r", b"\0", b"\r\n", b";", b"\t", b'""', b"\\", b"\xef\xbb\xbf", b"\xe0", b"\x1a")
    return content[:start] + random.choice((*tokens, content[start : start + 16])) + content[start:]


def put_another(_content: bytes, random: Random) -> bytes:
    """Return the content of another file: empty, a web page, an archive, numpy's format, JSON, YAML."""
    html = b"<!DOCTYPE html><html><body>404: Not Found</body></html>"
    others = (html, b"PK\x03\x04" + bytes(60), b"\x93NUMPY" + bytes(60), b"{}", b"--- !!python/object:x {}\n")
    return random.choice((b"", b"\n", b" ", b"\n\n\n", b",", b'"', b"PAR1", b"\0" * 100, *others))


BYTE_DAMAGE: tuple[Damage, ...] = (flip_bits, overwrite, truncate, append, cut_out, insert, put_another)


def recode(content: bytes, random: Random) -> bytes:
    """Write the same text in another encoding, or with other line ends."""
    text = content.decode()
    encodings = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp1252", "utf-7", "shift-jis")
    if random.random() < 0.2:
        return text.replace("\n", random.choice(("\r\n", "\r"))).encode()
    return text.encode(random.choice(encodings), errors=random.choice(("replace", "ignore", "xmlcharrefreplace")))


def on_rows(change: Callable[[Rows, Random], object]) -> Damage:
    """Turn a change of a table's rows (the header is row 0) into a change of a csv file, in any style of quotes."""

    def damage(content: bytes, random: Random) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        change(rows, random)
        text = io.StringIO()
        is_quoted = random.random() < 0.5
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL)
        writer.writerows(rows)
        return text.getvalue().encode()

    return damage


def rename_column(rows: Rows, random: Random) -> None:
    column = random.randrange(len(rows[0]))
    names = (rows[0][column].upper(), f" {rows[0][column]}", "", f"{rows[0][column]}\n", "ক" * 5000, "\x1b[2J")
    rows[0][column] = random.choice(names)


def repeat_column(rows: Rows, random: Random) -> None:
    column, place = random.randrange(len(rows[0])), random.randrange(len(rows[0]) + 1)
    for row in rows:
        row.insert(place, row[column])


def shuffle_columns(rows: Rows, random: Random) -> None:
    order = random.sample(range(len(rows[0])), len(rows[0]))
    rows[:] = [[row[column] for column in order] for row in rows]


def swap_columns_without_names(rows: Rows, random: Random) -> None:
    one, other = random.sample(range(len(rows[0])), 2)
    for row in rows[1:]:
        row[one], row[other] = row[other], row[one]


def drop_rows(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 5))):
        del rows[random.randrange(len(rows))]


def repeat_rows(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 5))):
        rows.insert(random.randrange(1, len(rows) + 1), list(random.choice(rows[1:])))


def shuffle_rows(rows: Rows, random: Random) -> None:
    rows[1:] = random.sample(rows[1:], len(rows) - 1)


def write_strange_cells(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3))):
        row = random.choice(rows[1:])
        row[random.randrange(len(row))] = random.choice(STRANGE_CELLS)


def lengthen_or_shorten_rows(rows: Rows, random: Random) -> None:
    for row in random.choice((rows[1:2], rows[-1:], rows[1:], rows)):
        if random.random() < 0.5:
            row.append(random.choice(("", "1")))
        else:
            del row[-1]


ROW_DAMAGE = (
    *(rename_column, repeat_column, shuffle_columns, swap_columns_without_names, drop_rows, repeat_rows),
    *(shuffle_rows, write_strange_cells, write_strange_cells, lengthen_or_shorten_rows),
)
CSV_DAMAGE = (*BYTE_DAMAGE, recode, *map(on_rows, ROW_DAMAGE))


def damage_file(path: Path, content: bytes, seed: int, kinds: Sequence[Damage] = BYTE_DAMAGE) -> bool:
    """Write the content to the path with the damage number `seed`, each kind in turn. Return whether it differs."""
    changed = kinds[seed % len(kinds)](content, Random(seed))
    path.write_bytes(changed)
    return changed != content


def call_told(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call a command that must do its work (status 0) or refuse it with a short message (status 2)."""
    found = call(folder, *arguments)
    assert found.returncode in (0, 2), found.stderr
    if found.returncode == 2:
        check_told(found.stderr)
    return found


def check_error(error: InputError, pattern: str) -> None:
    """Check the message of an error as a person reads it, and that the pattern is in it."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        tell(explain(error))
    check_told(told.getvalue())
    assert re.search(pattern, str(error)), error


def check_told(told: str) -> None:
    """Check a message: short, no traceback, no characters that control a terminal."""
    assert "Traceback" not in told, told
    lines = [line for line in told.splitlines() if line.startswith(("Input: ", "Settings: ", "Files: ", "Memory: "))]
    assert len(lines) == 1, told
    own = told[told.index(lines[0]) :]
    assert len(own.splitlines()) <= MOST_LINES, own
    assert len(own) <= MOST_CHARACTERS, own
    assert all(char.isprintable() or char == "\n" for char in own), ascii(own)


def make_project(folder: Path) -> Path:
    """Make a folder with the presets, to call commands in."""
    folder.mkdir(exist_ok=True)
    (folder / "configs").symlink_to(PROJECT / "configs")
    return folder
