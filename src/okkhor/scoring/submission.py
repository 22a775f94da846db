"""submissions/<name>.csv: `make_submission`, `write_submission`, which checks it, and `score_submission`."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.metric import macro_recall, weighted_mean

SUBMISSIONS = Path("submissions")


def make_submission(test: pd.DataFrame, image_ids: NDArray[np.str_], decoded: Labels) -> pd.DataFrame:
    """Return row_id and target: the rows of test.csv in its order. decoded: the labels of image_ids."""
    rows = pd.Index(image_ids).get_indexer(test["image_id"])
    if (rows < 0).any():
        missing = test["image_id"][rows < 0].iloc[0]
        raise InputError(f"Image {missing} of test.csv has no prediction: predict with this data folder again.")
    columns = test["component"].map(HEAD_NAMES.index)
    return pd.DataFrame({"row_id": test["row_id"], "target": decoded.triples[rows, columns]})


def check_submission(submission: pd.DataFrame, test: pd.DataFrame, where: str) -> None:
    """Raise InputError unless it has the rows of test.csv, in its order, with labels in range. where: its path."""
    if list(submission.columns) != ["row_id", "target"]:
        raise InputError(f"{where}: expected the columns row_id,target, found {','.join(submission.columns)}.")
    if len(submission) != len(test):
        raise InputError(f"{where}: {len(submission)} rows, expected {len(test)} as in test.csv.")
    differs = np.flatnonzero(submission["row_id"].to_numpy() != test["row_id"].to_numpy())
    if len(differs):
        found, expected = submission["row_id"].iloc[differs[0]], test["row_id"].iloc[differs[0]]
        raise InputError(f"{where}, line {differs[0] + 2}: row_id is {found}, expected {expected} as in test.csv.")
    num_classes = test["component"].map({head.name: head.num_classes for head in HEADS}).to_numpy()
    target = submission["target"].to_numpy()
    wrong = np.flatnonzero((target < 0) | (target >= num_classes))
    if len(wrong):
        row = wrong[0]
        raise InputError(
            f"{where}, line {row + 2}: target is {target[row]}, expected 0 to {num_classes[row] - 1} "
            f"for {test['component'].iloc[row]}."
        )


def write_submission(submission: pd.DataFrame, test: pd.DataFrame, path: Path) -> None:
    """Write the file, read it back, check it, and only then give it its name."""
    with replacing(path) as temporary:
        submission.to_csv(temporary, index=False)
        written = pd.read_csv(temporary, dtype={"row_id": str}, keep_default_na=False)
        check_submission(written, test, str(path))


def score_submission(submission: pd.DataFrame, solution: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Score the Public and the Private rows of solution.csv, where it has them."""
    known = solution.set_index("row_id").reindex(test["row_id"])
    if known["target"].isna().any():
        missing = known.index[known["target"].isna()][0]
        raise InputError(f"solution.csv has no row {missing}, which test.csv lists.")
    rows = test.assign(target=submission["target"].to_numpy(), truth=known["target"].to_numpy(np.int64))
    scores = {}
    for usage in ("Public", "Private"):
        by_head = rows[(known["usage"] == usage).to_numpy()].groupby("component")
        recalls = {head: macro_recall(part["truth"].to_numpy(), part["target"].to_numpy()) for head, part in by_head}
        if recalls:
            scores[usage] = weighted_mean(recalls)
    return scores
