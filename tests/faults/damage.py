"""Ways in which a file goes wrong: bytes, text, and the cells of a csv. Each takes the content and a random source."""

import csv
import io
from collections.abc import Callable
from random import Random

from tries import Mutation

Rows = list[list[str]]

STRANGE_CELLS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "٣",
        "৩",
        "007",
        "999",
        "168",
        "11",
        "7",
        "9" * 40,
        "1" * 400,
    ),
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


def repeat_part(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    stop = start + random.choice((1, 2, 16, 512))
    return content[:stop] + content[start:]


def insert(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    tokens = (b'"', b",", b"\n", b"\r", b"\0", b"\r\n", b";", b"\t", b'""', b"\\", b"\xef\xbb\xbf", b"\xe0", b"\x1a")
    return content[:start] + random.choice(tokens) + content[start:]


def empty(_content: bytes, random: Random) -> bytes:
    return random.choice((b"", b"\n", b" ", b"\n\n\n", b",", b'"', b"PAR1", b"\0" * 100))


def foreign(_content: bytes, random: Random) -> bytes:
    """Something else under this name."""
    html = b"<!DOCTYPE html><html><body>404: Not Found</body></html>"
    return random.choice(
        (html, b"PK\x03\x04" + bytes(60), b"\x93NUMPY" + bytes(60), b"{}", b"--- !!python/object:x {}\n")
    )


def recode(content: bytes, random: Random) -> bytes:
    """The same text in another encoding, or with other line ends."""
    text = content.decode()
    encodings = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp1252", "utf-7", "shift-jis")
    if random.random() < 0.2:
        return text.replace("\n", random.choice(("\r\n", "\r"))).encode()
    return text.encode(random.choice(encodings), errors=random.choice(("replace", "ignore", "xmlcharrefreplace")))


BYTE_DAMAGE = (flip_bits, overwrite, truncate, append, cut_out, repeat_part, insert, empty, foreign)


def on_rows(change: Callable[[Rows, Random], object], **dialect: int) -> Mutation:
    """The change of a table's rows (the header is the first) as a change of the file's bytes."""

    def mutate(content: bytes, random: Random) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        change(rows, random)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", **dialect).writerows(rows)  # type: ignore[arg-type]
        return text.getvalue().encode()

    mutate.__name__ = change.__name__
    return mutate


def drop_column(rows: Rows, random: Random) -> None:
    column = random.randrange(len(rows[0]))
    for row in rows:
        del row[column]


def repeat_column(rows: Rows, random: Random) -> None:
    column, place = random.randrange(len(rows[0])), random.randrange(len(rows[0]) + 1)
    for row in rows:
        row.insert(place, row[column])


def add_column(rows: Rows, random: Random) -> None:
    place, name = (
        random.randrange(len(rows[0]) + 1),
        random.choice(("", "writer", "Unnamed: 0", "index", "fold", "a\nb")),
    )
    for number, row in enumerate(rows):
        row.insert(place, random.choice(("", "1", "x")) if number else name)


def rename_column(rows: Rows, random: Random) -> None:
    column = random.randrange(len(rows[0]))
    names = (rows[0][column].upper(), f" {rows[0][column]}", "", f"{rows[0][column]}\n", "ক" * 5000, "\x1b[2J")
    rows[0][column] = random.choice(names)


def shuffle_columns(rows: Rows, random: Random) -> None:
    order = random.sample(range(len(rows[0])), len(rows[0]))
    rows[:] = [[row[column] for column in order] for row in rows]


def swap_columns_without_their_names(rows: Rows, random: Random) -> None:
    one, other = random.sample(range(len(rows[0])), 2)
    for row in rows[1:]:
        row[one], row[other] = row[other], row[one]


def drop_header(rows: Rows, _random: Random) -> None:
    del rows[0]


def keep_header_alone(rows: Rows, _random: Random) -> None:
    del rows[1:]


def drop_rows(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 5))):
        del rows[random.randrange(1, len(rows))]


def repeat_rows(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 5))):
        rows.insert(random.randrange(1, len(rows) + 1), list(random.choice(rows[1:])))


def shuffle_rows(rows: Rows, random: Random) -> None:
    rows[1:] = random.sample(rows[1:], len(rows) - 1)


def write_strange_cells(rows: Rows, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3))):
        row = random.choice(rows[1:])
        row[random.randrange(len(row))] = random.choice(STRANGE_CELLS)


def write_a_strange_column(rows: Rows, random: Random) -> None:
    column, text = random.randrange(len(rows[0])), random.choice(STRANGE_CELLS[:-7])
    for number, row in enumerate(rows[1:]):
        row[column] = random.choice((text, f"{text}{number}"))


def lengthen_or_shorten_rows(rows: Rows, random: Random) -> None:
    for row in random.choice((rows[1:2], rows[-1:], rows[1:], rows)):
        if random.random() < 0.5:
            row.append(random.choice(("", "1")))
        else:
            del row[-1]


def keep_all(_rows: Rows, _random: Random) -> None:
    """Nothing but another way of quoting."""


CSV_DAMAGE = (
    *(recode, on_rows(keep_all, quoting=csv.QUOTE_ALL), on_rows(shuffle_rows, quoting=csv.QUOTE_NONNUMERIC)),
    *map(
        on_rows,
        (
            *(drop_column, repeat_column, add_column, rename_column, shuffle_columns, swap_columns_without_their_names),
            *(drop_header, keep_header_alone, drop_rows, repeat_rows, shuffle_rows, write_strange_cells),
            *(write_a_strange_column, lengthen_or_shorten_rows),
        ),
    ),
)
