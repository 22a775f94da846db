"""The competition's csv files: harmless differences are read, everything that could change a label is refused."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers import Damage, Refused

from okkhor.data.tables import read_class_map, read_solution, read_test_table, read_train_table
from okkhor.schema import HEAD_NAMES, HEADS

Change = Callable[[bytes], bytes]


def set_line(number: int, text: str) -> Change:
    """Replace a line of a file; the header is line 1."""
    new = text.encode()
    return lambda content: b"\n".join(new if k == number else line for k, line in enumerate(content.split(b"\n"), 1))


def drop_line(number: int) -> Change:
    return lambda content: b"\n".join(line for k, line in enumerate(content.split(b"\n"), 1) if k != number)


def add_column(name: str, last: bool = False, cell: str = "{}") -> Change:
    """Add a column of row numbers, before the first column or after the last."""

    def change(content: bytes) -> bytes:
        header, *rows = content.decode().splitlines()
        lines = [(name, header), *((cell.format(k), row) for k, row in enumerate(rows))]
        return "\n".join(",".join(reversed(pair) if last else pair) for pair in lines).encode() + b"\n"

    return change


def test_train_csv_is_read_in_its_order_with_integer_labels(competition: Path) -> None:
    table = read_train_table(competition)
    lines = (competition / "train.csv").read_text().splitlines()[1:]
    assert [",".join(map(str, row)) for row in table.itertuples(index=False)] == lines
    assert {str(table[name].dtype) for name in HEAD_NAMES} == {"int64"}


HARMLESS: dict[str, Change] = {
    "a byte-order mark": lambda text: b"\xef\xbb\xbf" + text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "both, as Notepad writes them": lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
    "CRLF on one line": lambda text: text[:-1] + b"\r\n",
    "no line end": lambda text: text[:-1],
    "pandas' index": add_column(""),
    "pandas' index, written again": lambda text: add_column("")(add_column("Unnamed: 0")(text)),
    "an index at the end": add_column("", last=True),
    "semicolons, as Excel writes them in Europe": lambda text: b"\xef\xbb\xbf" + text.replace(b",", b";"),
    "Excel's Unicode text": lambda text: text.replace(b",", b"\t").replace(b"\n", b"\r\n").decode().encode("utf-16"),
    "quotes": lambda text: text.replace(b"image_id", b'"image_id"'),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_harmless_differences_change_no_cell(competition: Path, damaged: Damage, change: Change) -> None:
    damaged("train.csv", change)
    root = damaged("test.csv", change)
    pd.testing.assert_frame_equal(read_train_table(root), read_train_table(competition))
    pd.testing.assert_frame_equal(read_test_table(root), read_test_table(competition))


def test_added_columns_of_train_csv_are_kept_as_text_in_any_place(competition: Path, damaged: Damage) -> None:
    damaged("train.csv", add_column("writer", cell="0{}"))
    table = read_train_table(damaged("train.csv", add_column("note", last=True, cell="")))
    assert table["writer"].tolist() == [f"0{k}" for k in range(24)]
    assert table["note"].tolist() == [""] * 24
    pd.testing.assert_frame_equal(table.drop(columns=["writer", "note"]), read_train_table(competition))


def test_class_map_gives_the_component_of_each_label_in_any_order_of_its_rows(damaged: Damage) -> None:
    def reverse(content: bytes) -> bytes:
        header, *rows = content.decode().splitlines()
        return "\n".join([header, *reversed(rows)]).encode() + b"\n"

    class_map = read_class_map(damaged("class_map.csv", reverse))
    assert {name: len(classes) for name, classes in class_map.items()} == {h.name: h.num_classes for h in HEADS}
    assert class_map["vowel_diacritic"][10] == "<vowel_diacritic 10>"


HEADER = f"image_id,{','.join(HEAD_NAMES)},grapheme"
READERS = {"train": read_train_table, "class_map": read_class_map, "test": read_test_table}


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train", lambda text: text[:-1] + b"\xff\n", ["line 25", "UTF-8"]),
        ("train", lambda text: text.decode().encode("utf-16-le"), ["line 1", "UTF-8"]),
        ("train", lambda _: b"", ["empty"]),
        ("train", lambda _: b"\xef\xbb\xbf", ["empty"]),
        ("train", drop_line(1), ["missing: image_id"]),
        ("train", lambda text: text.replace(b",grapheme\n", b"\n"), ["missing: grapheme"]),
        ("train", lambda text: text.replace(b",", b"|"), ["image_id|grapheme_root"]),
        ("train", lambda _: b"PK\3\4\x14", ["a zip archive", "download", "Unpack it"]),
        ("train", lambda _: b"\x1f\x8b\x08", ["a gzip archive"]),
        ("train", lambda _: b"<!DOCTYPE html>", ["a web page"]),
        ("train", set_line(1, f"{HEADER},grapheme"), ["missing: none", "extra: grapheme."]),
        ("train", set_line(1, f"{HEADER},x,x"), ["and others, each once", "missing: none", "extra: x."]),
        ("train", add_column("", last=True, cell=""), ["column ''", "no index"]),
        ("train", set_line(4, "Train_99,1,,0,x"), ["line 4", "vowel_diacritic is empty"]),
        ("train", set_line(4, "Train_99,1\r,0,0,x"), ["line 5", "image_id is empty"]),
        ("train", set_line(4, ""), ["line 4", "image_id is empty"]),
        ("train", set_line(4, "Train_99,1,0,0,x,y"), ["line 4", "Expected 5 fields", "saw 6"]),
        ("train", set_line(4, 'Train_99,1,0,0,"x'), ["can't be read as csv"]),
        ("train", set_line(4, "Train_99,one,0,0,x"), ["line 4", "grapheme_root is 'one'", "whole number"]),
        ("train", set_line(4, "Train_99,0,-1,0,x"), ["line 4", "vowel_diacritic is '-1'"]),
        ("train", set_line(4, f"Train_99,{10**30},0,0,x"), ["line 4", "grapheme_root is '1000"]),
        ("train", set_line(5, "Train_99,168,0,0,x"), ["line 5", "grapheme_root is '168'", "class_map.csv, 0 to 167"]),
        ("train", set_line(5, "=1+1,1,0,0,x"), ["line 5", "image_id is '=1+1'", "spreadsheet"]),
        ("train", lambda text: text + text.split(b"\n")[3] + b"\n", ["line 26", "Train_", "line 4 already"]),
        ("class_map", drop_line(172), ["vowel_diacritic has 10 rows", "0 to 10"]),
        ("class_map", set_line(172, "vowel_diacritic,1,x"), ["vowel_diacritic", "labels 0 to 10, each once"]),
        ("class_map", set_line(2, "root,0,x"), ["line 2", "component_type is 'root'", "grapheme_root"]),
        ("test", add_column("x"), ["missing: none", "extra: x."]),
        ("test", drop_line(6), ["Test_0 has 2 rows", "one for each head"]),
        ("test", set_line(6, "x,Test_0,root"), ["line 6", "component is 'root'"]),
        ("test", set_line(6, "Test_2_grapheme_root,Test_0,grapheme_root"), ["line 6", "grapheme_root", "line 3"]),
        ("sample_submission", drop_line(13), ["11 rows", "test.csv has 12"]),
        ("sample_submission", set_line(5, "Test_9_grapheme_root,0"), ["line 5", "Test_9_grapheme_root", "test.csv"]),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(
    damaged: Damage, refused: Refused, name: str, change: Change, words: list[str]
) -> None:
    refused([f"{name}.csv", *words], READERS.get(name, read_test_table), damaged(f"{name}.csv", change))


def test_a_missing_file_is_refused_with_where_to_read_on(damaged: Damage, refused: Refused) -> None:
    refused(["train.csv", "not there", "input/README.md"], read_train_table, damaged("train.csv"))


def test_a_solution_has_the_usage_public_or_private(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("row_id,target,usage\na,1,Public\nb,2,Private\n")
    assert read_solution(tmp_path)["usage"].tolist() == ["Public", "Private"]
    path.write_text("row_id,target,usage\na,1,Public\nb,2,Hidden\n")
    refused(["solution.csv, line 3", "usage is 'Hidden'"], read_solution, tmp_path)
