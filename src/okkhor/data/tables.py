"""Read the competition's csv files: `read_csv` checks the cells of any file, the other functions what a file means."""

import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.schema import HEAD_NAMES, HEADS

TRAIN_COLUMNS = ("image_id", *HEAD_NAMES, "grapheme")
SUBMISSION_COLUMNS = ("row_id", "target")
LAST_LABELS = {head.name: head.num_classes - 1 for head in HEADS}
INDEX_NAMES = ("", "Unnamed: 0")  # of the column into which pandas writes a table's index
OTHER_KINDS = {  # by a file's first bytes
    b"PK\3\4": "a zip archive, as a download of one file is, or an Excel workbook. Unpack it, or save it as csv.",
    b"\x1f\x8b": "a gzip archive. Unpack it.",
    b"<": "a web page. Download the file itself.",
}
MAX_TEXT = 200  # characters of an id or a grapheme; Kaggle's longest has 12
CONTROL = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"
PLAIN_TEXT = rf"-?[0-9]{{1,{MAX_TEXT}}}|[^=+@\-{CONTROL}][^{CONTROL}]{{0,{MAX_TEXT - 1}}}"
PLAIN_TEXT_MEANS = f"1 to {MAX_TEXT} printable characters, the first none of = + - @ (formulas in a spreadsheet)"


def read_csv(
    path: Path, columns: Sequence[str], integers: Sequence[str] = (), *, unique: str = "", allow_extra: bool = False
) -> pd.DataFrame:
    """Read a csv file and check its cells. Accept a byte-order mark and CRLF; drop an index that pandas wrote.

    columns: the columns that the file must have, in any order. None of their cells may be empty.
    integers: those of them that hold whole numbers from 0: int64. So do columns named after a head; others are str.
    unique: the column whose values must all differ.
    allow_extra: accept more columns (str); an empty cell there is "".
    Raises InputError that names the file, the line (the header is line 1), what was found and what is expected.
    """
    header = _read_cells(path, num_lines=1).iloc[0].tolist()
    _check_columns(header, columns, allow_extra, path)
    table = _read_cells(path)[1:].set_axis(header, axis=1).reset_index(drop=True)
    for name in set(INDEX_NAMES) & set(header):
        if not table.pop(name).str.fullmatch("[0-9]+").all():
            raise InputError(f"{path}: column '{name}' is no index of whole numbers. Give it a name, or remove it.")
    for name in columns:
        if name not in integers and name not in LAST_LABELS:
            check_cells(table[name], table[name].str.fullmatch(PLAIN_TEXT), path, PLAIN_TEXT_MEANS)
            continue
        check_cells(table[name], table[name].str.fullmatch("[0-9]{1,9}"), path, "a whole number from 0")
        table[name] = table[name].astype(np.int64)
        if name in LAST_LABELS:
            last = LAST_LABELS[name]
            check_cells(table[name], table[name] <= last, path, f"a label of class_map.csv, 0 to {last}")
    if unique and table[unique].duplicated().any():
        second = table[unique].duplicated().argmax()
        value = table[unique][second]
        first = (table[unique] == value).argmax()
        raise InputError(f"{path}, line {second + 2}: {unique} {value} is on line {first + 2} already.")
    return table


def _read_cells(path: Path, num_lines: int | None = None) -> pd.DataFrame:
    """Every cell as str. The header is the first row, because pandas would rename a column that occurs twice."""
    text = _read_text(path)
    mark = next((mark for mark in ",;\t" if mark in text.partition("\n")[0]), ",")  # Excel's is the country's
    try:
        options = {"header": None, "dtype": str, "keep_default_na": False, "skip_blank_lines": False}
        return pd.read_csv(io.StringIO(text), sep=mark, nrows=num_lines, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: can't be read as csv: {str(error).strip()}. Take the original file.") from error


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Expected the competition's files, see input/README.md.") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}.") from error
    if kind := next((kind for start, kind in OTHER_KINDS.items() if content.startswith(start)), ""):
        raise InputError(f"{path}: is {kind}")
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8-sig", errors="replace")
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Take the original file.")
    broken = re.search("[\0\ufffd]", text)  # a zero byte, or the sign that decoding puts where the bytes are not UTF-8
    if broken:
        line = text.count("\n", 0, broken.start()) + 1
        raise InputError(f"{path}, line {line}: expected UTF-8. An editor or a transfer changed it: take the original.")
    return text


def _check_columns(header: Sequence[str], columns: Sequence[str], allow_extra: bool, path: Path) -> None:
    counts = Counter(header)
    missing = [name for name in columns if not counts[name]]
    others = counts - Counter((*columns, *INDEX_NAMES))
    extra = [name for name in others if counts[name] > 1 or missing or not allow_extra]
    if missing or extra:
        raise InputError(
            f"{path}: expected the columns {','.join(columns)}{', and others, each once' if allow_extra else ''}; "
            f"missing: {', '.join(missing) or 'none'}; extra: {', '.join(extra) or 'none'}."
        )


def check_cells(column: pd.Series, right: pd.Series | NDArray[np.bool_], path: Path, expected: str) -> None:
    """right: (N,) bool, for each cell of the column. Raises InputError that names the first line where it is False."""
    wrong = np.flatnonzero(~np.asarray(right, bool))
    if len(wrong):
        found = str(column.iloc[wrong[0]])[:40]
        shown = f"'{found}'" if found else "empty"
        raise InputError(f"{path}, line {wrong[0] + 2}: {column.name} is {shown}, expected {expected}.")


def read_class_map(root: Path) -> dict[str, list[str]]:
    """class_map.csv -> for each head, the Bengali text of each class, by label."""
    path = root / "class_map.csv"
    table = read_csv(path, ("component_type", "label", "component"), integers=("label",))
    kinds = table["component_type"]
    check_cells(kinds, kinds.isin(HEAD_NAMES), path, f"one of {', '.join(HEAD_NAMES)}")
    texts = {}
    for head in HEADS:
        rows = table[kinds == head.name].sort_values("label")
        if rows["label"].tolist() != list(range(head.num_classes)):
            raise InputError(
                f"{path}: {head.name} has {len(rows)} rows, expected the labels 0 to {head.num_classes - 1}, each once."
            )
        texts[head.name] = rows["component"].tolist()
    return texts


def read_train_table(root: Path) -> pd.DataFrame:
    """train.csv: image_id (str, each once), a label (int64) for each head, grapheme (str).

    A person may add columns (str), such as the writer of each image, for folds.group.
    """
    return read_csv(root / "train.csv", TRAIN_COLUMNS, unique="image_id", allow_extra=True)


def read_test_table(root: Path, *, check_sample: bool = True) -> pd.DataFrame:
    """test.csv: row_id (each once), image_id, component: for each image, a row for each head.

    check_sample: where sample_submission.csv exists, it must have the same row_ids in the same order.
    """
    path = root / "test.csv"
    table = read_csv(path, ("row_id", "image_id", "component"), unique="row_id")
    heads = table["component"]
    check_cells(heads, heads.isin(HEAD_NAMES), path, f"one of {', '.join(HEAD_NAMES)}")
    counts = table.groupby("image_id", sort=False)["component"].agg(["size", "nunique"])
    wrong = counts[(counts != len(HEADS)).any(axis=1)]
    if len(wrong):
        found = wrong["size"].iloc[0]
        raise InputError(f"{path}: image {wrong.index[0]} has {found} rows, expected one for each head.")
    sample = root / "sample_submission.csv"
    if check_sample and sample.exists():
        row_ids = read_csv(sample, SUBMISSION_COLUMNS, integers=("target",))["row_id"]
        if len(row_ids) != len(table):
            raise InputError(f"{sample}: {len(row_ids)} rows, but test.csv has {len(table)}. Download both again.")
        check_cells(row_ids, row_ids == table["row_id"], sample, "the row_id of the same line of test.csv")
    return table


def read_solution(root: Path) -> pd.DataFrame:
    """solution.csv, the answers to test.csv: row_id (each once), target (int64), usage (Public or Private)."""
    path = root / "solution.csv"
    table = read_csv(path, ("row_id", "target", "usage"), integers=("target",), unique="row_id")
    check_cells(table["usage"], table["usage"].isin(("Public", "Private")), path, "Public or Private")
    return table
