"""The competition's csv files: read, and checked against what Kaggle gives."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from okkhor.errors import InputError
from okkhor.schema import HEAD_NAMES, HEADS

TRAIN_COLUMNS = ("image_id", *HEAD_NAMES, "grapheme")
TEST_COLUMNS = ("row_id", "image_id", "component")
SUBMISSION_COLUMNS = ("row_id", "target")
SOLUTION_COLUMNS = ("row_id", "target", "usage")

MAX_TEXT = 200  # characters of an id or a grapheme; Kaggle's longest has 12
CONTROL = "\\x00-\\x1f\\x7f-\\x9f\u2028\u2029"
PLAIN_TEXT = rf"-?[0-9]{{1,{MAX_TEXT}}}|[^=+@\-{CONTROL}][^{CONTROL}]{{0,{MAX_TEXT - 1}}}"
PLAIN_TEXT_MEANS = (
    f"1 to {MAX_TEXT} characters, none of them a control character, and no = + - @ before them, "
    "which a spreadsheet would take for a formula"
)


def read_csv(
    path: Path, columns: Sequence[str], integers: Sequence[str] = (), *, further: bool = False
) -> pd.DataFrame:
    """A table with exactly these columns: the integers int64, the others str, no value missing.

    further: there may be other columns too, in any place: str, and "" where a value is missing.
    Raises InputError that names the file, the line (the header is line 1), what was found and what is expected.
    """
    header = read_header(path)
    _check_columns(header, columns, further, path)
    table = _read_cells(path)[1:].set_axis(header, axis=1).reset_index(drop=True)
    for name in columns:
        empty = np.flatnonzero(table[name] == "")
        if len(empty):
            raise InputError(f"{path}, line {empty[0] + 2}: {name} is empty. Every row needs a value.")
        if name not in integers:
            _check_texts(table[name], path)
    for name in integers:
        table[name] = _to_integers(table[name], path)
    return table


def read_header(path: Path) -> list[str]:
    """The columns' names as they stand in the file."""
    _check_text(path)
    return _read_cells(path, num_lines=1).iloc[0].tolist()


def _read_cells(path: Path, num_lines: int | None = None) -> pd.DataFrame:
    """Every cell as it stands, str; the header is the first row, since pandas would rename a name that stands twice."""
    try:
        return pd.read_csv(path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False, nrows=num_lines)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: can't be read as csv: {str(error).strip()}. Take the original file.") from error


def _check_columns(header: Sequence[str], columns: Sequence[str], further: bool, path: Path) -> None:
    counts = Counter(header)
    missing = [name for name in columns if name not in counts]
    extra = list((counts - Counter(columns)).elements())
    if further and not missing:
        extra = [name for name, count in counts.items() if count > 1 or not name]
    if missing or extra:
        found = ", ".join(name or "one without a name" for name in extra)
        raise InputError(
            f"{path}: expected the columns {','.join(columns)}{', and others, each once' if further else ''}; "
            f"missing: {', '.join(missing) or 'none'}; extra: {found or 'none'}."
        )


def _check_text(path: Path) -> None:
    """Kaggle's files are UTF-8 with Unix line ends; one that is not went through an editor."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Expected the competition's files, see input/README.md.") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}.") from error
    remedy = "An editor or a transfer has changed it: take the original file."
    if not content.strip():
        raise InputError(f"{path}: the file is empty. Take the original file.")
    if content.startswith(b"\xef\xbb\xbf"):
        raise InputError(f"{path}, line 1: begins with a byte-order mark, expected plain UTF-8. {remedy}")
    if b"\r" in content:
        line = content[: content.index(b"\r")].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: ends with CR LF, expected LF alone. {remedy}")
    if b"\0" in content:
        raise InputError(f"{path}: holds a zero byte, expected text. {remedy}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8. {remedy}") from error


def _check_texts(column: pd.Series, path: Path) -> None:
    wrong = np.flatnonzero(~column.str.fullmatch(PLAIN_TEXT).to_numpy(dtype=bool))
    if len(wrong):
        raise InputError(
            f"{path}, line {wrong[0] + 2}: {column.name} is '{column.iloc[wrong[0]][:40]}', "
            f"expected {PLAIN_TEXT_MEANS}."
        )


def _to_integers(column: pd.Series, path: Path) -> pd.Series:
    wrong = np.flatnonzero(~column.str.fullmatch(r"[0-9]{1,9}").to_numpy(dtype=bool))
    if len(wrong):
        found = column.iloc[wrong[0]]
        raise InputError(
            f"{path}, line {wrong[0] + 2}: {column.name} is '{found[:40]}', expected a whole number from 0."
        )
    return column.astype(np.int64)


def check_unique(table: pd.DataFrame, column: str, path: Path) -> None:
    """Raises InputError that names the first value of the column that stands twice."""
    twice = np.flatnonzero(table[column].duplicated())
    if len(twice):
        value = table[column].iloc[twice[0]]
        first = int(np.flatnonzero(table[column] == value)[0])
        raise InputError(f"{path}, line {twice[0] + 2}: {column} {value} stands on line {first + 2} already.")


def read_class_map(root: Path) -> dict[str, list[str]]:
    """class_map.csv: for each head, the Bengali text of each class, by label."""
    path = root / "class_map.csv"
    table = read_csv(path, ("component_type", "label", "component"), integers=("label",))
    unknown = set(table["component_type"]) - set(HEAD_NAMES)
    if unknown:
        raise InputError(f"{path}: component_type {min(unknown)} is none of {', '.join(HEAD_NAMES)}.")
    classes = {}
    for head in HEADS:
        rows = table[table["component_type"] == head.name].sort_values("label")
        found, expected = rows["label"].tolist(), range(head.num_classes)
        if found != list(expected):
            wrong = next(label for label in (*expected, *found) if found.count(label) != (label in expected))
            raise InputError(
                f"{path}: label {wrong} of {head.name} has {found.count(wrong)} rows, "
                f"expected the labels 0 to {head.num_classes - 1}, each once."
            )
        classes[head.name] = rows["component"].tolist()
    return classes


def read_train_table(root: Path, class_map: dict[str, list[str]]) -> pd.DataFrame:
    """train.csv: image_id (str, each once), the three labels (int64, in class_map), grapheme (str).

    A person may have added columns of their own (str), such as the writer, for folds.group.
    """
    path = root / "train.csv"
    table = read_csv(path, TRAIN_COLUMNS, integers=HEAD_NAMES, further=True)
    check_unique(table, "image_id", path)
    for name in HEAD_NAMES:
        wrong = np.flatnonzero(table[name] >= len(class_map[name]))
        if len(wrong):
            raise InputError(
                f"{path}, line {wrong[0] + 2}: {name} is {table[name].iloc[wrong[0]]}, "
                f"expected a label of class_map.csv, 0 to {len(class_map[name]) - 1}."
            )
    return table


def read_test_table(root: Path, *, check_sample: bool = True) -> pd.DataFrame:
    """test.csv: row_id (each once), image_id, component: the three heads of each image, each once.

    sample_submission.csv, where it is there, has the same row_ids in the same order.
    """
    path = root / "test.csv"
    table = read_csv(path, TEST_COLUMNS)
    check_unique(table, "row_id", path)
    wrong = np.flatnonzero(~table["component"].isin(HEAD_NAMES))
    if len(wrong):
        found = table["component"].iloc[wrong[0]]
        raise InputError(f"{path}, line {wrong[0] + 2}: component is {found}, expected one of {', '.join(HEAD_NAMES)}.")
    counts = table.groupby("image_id", sort=False)["component"].agg(["size", "nunique"])
    bad = counts[(counts["size"] != len(HEADS)) | (counts["nunique"] != len(HEADS))]
    if len(bad):
        raise InputError(f"{path}: image {bad.index[0]} has {bad['size'].iloc[0]} rows, expected one for each head.")
    sample = root / "sample_submission.csv"
    if check_sample and sample.exists():
        _check_sample_submission(read_csv(sample, SUBMISSION_COLUMNS, integers=("target",)), sample, table)
    return table


def _check_sample_submission(submission: pd.DataFrame, path: Path, test: pd.DataFrame) -> None:
    if len(submission) != len(test):
        raise InputError(f"{path}: {len(submission)} rows, but test.csv has {len(test)}. Take both from one source.")
    differs = np.flatnonzero(submission["row_id"].to_numpy() != test["row_id"].to_numpy())
    if len(differs):
        found, expected = submission["row_id"].iloc[differs[0]], test["row_id"].iloc[differs[0]]
        raise InputError(f"{path}, line {differs[0] + 2}: row_id is {found}, expected {expected} as in test.csv.")


def read_solution(root: Path) -> pd.DataFrame:
    """solution.csv: row_id, target (int64), usage (Public or Private): the answers to test.csv."""
    path = root / "solution.csv"
    table = read_csv(path, SOLUTION_COLUMNS, integers=("target",))
    check_unique(table, "row_id", path)
    wrong = np.flatnonzero(~table["usage"].isin(("Public", "Private")))
    if len(wrong):
        found = table["usage"].iloc[wrong[0]]
        raise InputError(f"{path}, line {wrong[0] + 2}: usage is {found}, expected Public or Private.")
    return table
