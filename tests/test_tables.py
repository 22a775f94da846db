"""The competition's csv files: read as they are, refused where an editor, a transfer or a hand has changed them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers import Damage, Refused

from okkhor.data.tables import read_class_map, read_solution, read_test_table, read_train_table
from okkhor.schema import HEAD_NAMES, HEADS


def read_train(root: Path) -> pd.DataFrame:
    return read_train_table(root, read_class_map(root))


def set_line(number: int, text: str) -> Callable[[bytes], bytes]:
    """Replace a line of a file; the header is line 1."""

    def change(content: bytes) -> bytes:
        lines = content.decode().split("\n")
        lines[number - 1] = text
        return "\n".join(lines).encode()

    return change


def drop_line(number: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        lines = content.split(b"\n")
        return b"\n".join(lines[: number - 1] + lines[number:])

    return change


def test_train_csv_is_read_in_its_order_with_integer_labels(competition: Path) -> None:
    table = read_train(competition)
    lines = (competition / "train.csv").read_text().splitlines()[1:]
    assert [",".join(map(str, row)) for row in table.itertuples(index=False)] == lines
    assert {str(table[name].dtype) for name in HEAD_NAMES} == {"int64"}


def test_further_columns_of_train_csv_are_kept_as_text_whatever_their_place(damaged: Damage) -> None:
    def add(content: bytes) -> bytes:
        header, *rows = content.decode().splitlines()
        first, rest = header.split(",", 1)
        lines = [f"{first},writer,{rest},note", *(row.replace(",", f",0{k},", 1) + "," for k, row in enumerate(rows))]
        return "\n".join(lines).encode() + b"\n"

    before = read_train(damaged("train.csv", lambda text: text + b"Train_99,0,0,0,x\n"))
    table = read_train(damaged("train.csv", add))
    assert table["writer"].tolist() == [f"0{k}" for k in range(25)]
    assert table["note"].tolist() == [""] * 25
    pd.testing.assert_frame_equal(table.drop(columns=["writer", "note"]), before)


def test_class_map_gives_the_component_of_each_label_whatever_the_order_of_its_rows(damaged: Damage) -> None:
    def reverse(content: bytes) -> bytes:
        header, *rows = content.decode().splitlines()
        return "\n".join([header, *reversed(rows)]).encode() + b"\n"

    class_map = read_class_map(damaged("class_map.csv", reverse))
    assert {name: len(classes) for name, classes in class_map.items()} == {h.name: h.num_classes for h in HEADS}
    assert class_map["vowel_diacritic"][10] == "<vowel_diacritic 10>"


def test_names_that_pandas_takes_for_missing_stay_text(damaged: Damage) -> None:
    table = read_train(damaged("train.csv", set_line(2, "NA,0,0,0,null")))
    assert table.iloc[0][["image_id", "grapheme"]].tolist() == ["NA", "null"]


CSV_FAULTS = {
    "a byte-order mark": (lambda text: b"\xef\xbb\xbf" + text, ["line 1", "byte-order mark"]),
    "CR LF": (lambda text: text.replace(b"\n", b"\r\n"), ["line 1", "CR LF"]),
    "CR LF on one line": (lambda text: text[:-1] + b"\r\n", ["line 25", "CR LF"]),
    "invalid UTF-8": (lambda text: text[:-1] + b"\xff\n", ["line 25", "UTF-8"]),
    "UTF-16": (lambda text: text.decode().encode("utf-16-le"), ["zero byte"]),
    "no content": (lambda _: b"", ["empty"]),
    "white space alone": (lambda _: b"\n \n", ["empty"]),
    "no header": (drop_line(1), ["missing: image_id"]),
    "a missing column": (lambda text: text.replace(b",grapheme\n", b"\n"), ["missing: grapheme"]),
    "a column twice": (set_line(1, f"image_id,{','.join(HEAD_NAMES)},grapheme,grapheme"), ["extra: grapheme."]),
    "a further column twice": (set_line(1, f"image_id,{','.join(HEAD_NAMES)},grapheme,x,x"), ["none", "extra: x."]),
    "a column without a name": (
        lambda text: text.replace(b"\n", b",\n"),
        ["and others, each once", "missing: none", "extra: one without a name"],
    ),
    "semicolons": (lambda text: text.replace(b",", b";"), ["image_id;grapheme_root"]),
    "an empty cell": (set_line(4, "Train_99,1,,0,x"), ["line 4", "vowel_diacritic is empty"]),
    "an empty image_id": (set_line(4, ",1,0,0,x"), ["line 4", "image_id is empty"]),
    "a row cut short": (set_line(4, "Train_99,1"), ["line 4", "vowel_diacritic is empty"]),
    "a blank line": (set_line(4, ""), ["line 4", "image_id is empty"]),
    "a row too long": (set_line(4, "Train_99,1,0,0,x,y"), ["line 4", "Expected 5 fields", "saw 6"]),
    "every row too long": (
        lambda text: text.replace(b"\n", b",y\n").replace(b"grapheme,y\n", b"grapheme\n"),
        ["line 2", "Expected 5 fields", "saw 6"],
    ),
    "an open quote": (set_line(4, 'Train_99,1,0,0,"x'), ["can't be read as csv"]),
    "a word for a label": (set_line(4, "Train_99,one,0,0,x"), ["line 4", "grapheme_root is 'one'", "whole number"]),
    "a fraction for a label": (set_line(4, "Train_99,1.0,0,0,x"), ["line 4", "grapheme_root is '1.0'"]),
    "a negative label": (set_line(4, "Train_99,0,-1,0,x"), ["line 4", "vowel_diacritic is '-1'"]),
    "a huge label": (set_line(4, f"Train_99,{10**30},0,0,x"), ["line 4", "grapheme_root is '1000"]),
    "a label outside class_map": (
        set_line(5, "Train_99,168,0,0,x"),
        ["line 5", "grapheme_root is 168", "class_map.csv, 0 to 167"],
    ),
    "the eighth consonant": (set_line(5, "Train_99,0,0,7,x"), ["line 5", "consonant_diacritic is 7", "0 to 6"]),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_a_faulty_train_csv_is_refused_with_its_place(damaged: Damage, refused: Refused, fault: str) -> None:
    change, words = CSV_FAULTS[fault]
    refused(["train.csv", *words], read_train, damaged("train.csv", change))


def test_an_image_id_that_stands_twice_is_refused_with_both_lines(damaged: Damage, refused: Refused) -> None:
    root = damaged("train.csv", set_line(3, "Train_99,0,0,0,x"))
    damaged("train.csv", set_line(9, "Train_99,0,0,0,x"))
    refused(["train.csv, line 9", "Train_99", "line 3 already"], read_train, root)


@pytest.mark.parametrize("name", ["train.csv", "class_map.csv"])
def test_a_missing_file_is_refused_with_where_to_read_on(damaged: Damage, refused: Refused, name: str) -> None:
    refused([name, "not there", "input/README.md"], read_train, damaged(name))


CLASS_MAP_FAULTS = {
    "a missing label": (drop_line(172), ["label 2 of vowel_diacritic has 0 rows", "0 to 10"]),
    "a label twice": (set_line(172, "vowel_diacritic,1,x"), ["label 1 of vowel_diacritic has 2 rows"]),
    "a label too many": (lambda text: text + b"vowel_diacritic,11,x\n", ["label 11 of vowel_diacritic has 1 row"]),
    "an unknown component": (set_line(2, "root,0,x"), ["component_type root", "grapheme_root"]),
    "a head that is gone": (
        lambda text: b"\n".join(line for line in text.split(b"\n") if b"consonant" not in line),
        ["label 0 of consonant_diacritic has 0 rows"],
    ),
}


@pytest.mark.parametrize("fault", CLASS_MAP_FAULTS)
def test_a_faulty_class_map_is_refused_with_its_place(damaged: Damage, refused: Refused, fault: str) -> None:
    change, words = CLASS_MAP_FAULTS[fault]
    refused(["class_map.csv", *words], read_class_map, damaged("class_map.csv", change))


TEST_FAULTS = {
    "an extra column": (lambda text: text.replace(b"\n", b",x\n"), ["missing: none", "extra: x."]),
    "a column twice": (
        lambda text: text.replace(b"\n", b",x\n").replace(b"component,x", b"component,component"),
        ["missing: none", "extra: component."],
    ),
    "a head that an image lacks": (drop_line(6), ["Test_0 has 2 rows", "one for each head"]),
    "a head twice": (set_line(6, "x,Test_0,vowel_diacritic"), ["Test_0 has 3 rows", "one for each head"]),
    "an unknown head": (set_line(6, "x,Test_0,root"), ["line 6", "component is root"]),
    "a row_id twice": (
        set_line(6, "Test_2_grapheme_root,Test_0,grapheme_root"),
        ["line 6", "row_id Test_2_grapheme_root", "line 3"],
    ),
    "a missing column": (
        lambda text: text.replace(b"component\n", b"head\n", 1),
        ["missing: component", "extra: head"],
    ),
}


@pytest.mark.parametrize("fault", TEST_FAULTS)
def test_a_faulty_test_csv_is_refused_with_its_place(damaged: Damage, refused: Refused, fault: str) -> None:
    change, words = TEST_FAULTS[fault]
    refused(["test.csv", *words], read_test_table, damaged("test.csv", change))


SAMPLE_SUBMISSION_FAULTS = {
    "a row too few": (drop_line(13), ["11 rows", "test.csv has 12"]),
    "another order": (
        lambda text: b"\n".join([text.split(b"\n")[0], *reversed(text.split(b"\n")[1:-1]), b""]),
        ["line 2", "row_id is Test_1_vowel_diacritic", "expected Test_2_consonant_diacritic"],
    ),
    "another row": (set_line(5, "Test_9_grapheme_root,0"), ["line 5", "Test_9_grapheme_root"]),
    "a target that is no number": (set_line(5, "Test_0_consonant_diacritic,x"), ["line 5", "target is 'x'"]),
}


@pytest.mark.parametrize("fault", SAMPLE_SUBMISSION_FAULTS)
def test_a_sample_submission_that_does_not_match_test_csv_is_refused(
    damaged: Damage, refused: Refused, fault: str
) -> None:
    change, words = SAMPLE_SUBMISSION_FAULTS[fault]
    refused(["sample_submission.csv", *words], read_test_table, damaged("sample_submission.csv", change))


def test_without_a_sample_submission_test_csv_is_read_alone(damaged: Damage) -> None:
    assert len(read_test_table(damaged("sample_submission.csv"))) == 12


def test_a_solution_has_the_usage_public_or_private(tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("row_id,target,usage\na,1,Public\nb,2,Private\n")
    assert read_solution(tmp_path)["usage"].tolist() == ["Public", "Private"]
    path.write_text("row_id,target,usage\na,1,Public\nb,2,Hidden\n")
    refused(["solution.csv, line 3", "usage is Hidden"], read_solution, tmp_path)
