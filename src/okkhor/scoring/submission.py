"""submissions/<name>.csv: made in test.csv's order, checked before it gets its name, scored where answers are known."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.files import replacing
from okkhor.label_triples import Labels
from okkhor.schema import HEADS
from okkhor.scoring.metric import macro_recall, weighted_mean

SUBMISSIONS = Path("submissions")


def make_submission(test: pd.DataFrame, image_ids: NDArray[np.str_], decoded: Labels) -> pd.DataFrame:
    """row_id, target: the rows of test.csv in its order. decoded: for each head, (N,) int64, of these images."""
    by_image = pd.DataFrame({"image_id": image_ids, **decoded})
    by_head = by_image.melt("image_id", var_name="component", value_name="target")
    merged = test.merge(by_head, on=["image_id", "component"], how="left", validate="one_to_one", sort=False)
    if merged["target"].isna().any():
        missing = merged.loc[merged["target"].isna(), "image_id"].iloc[0]
        raise InputError(f"Image {missing} of test.csv has no prediction: predict with this data folder again.")
    return merged[["row_id", "target"]].astype({"target": np.int64})


def check_submission(submission: pd.DataFrame, test: pd.DataFrame, where: str) -> None:
    """Raises InputError unless it has the rows of test.csv, in its order, each once, with labels in range."""
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
    """Write, read back, check, and only then give the file its name."""
    with replacing(path) as temporary:
        submission.to_csv(temporary, index=False)
        written = pd.read_csv(temporary, dtype={"row_id": str}, keep_default_na=False)
        check_submission(written, test, str(path))


def score_submission(submission: pd.DataFrame, solution: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """The score of the Public and the Private part of solution.csv, of those that it has."""
    answers = test.merge(solution.rename(columns={"target": "truth"}), on="row_id", how="left", validate="one_to_one")
    if answers["truth"].isna().any():
        missing = answers.loc[answers["truth"].isna(), "row_id"].iloc[0]
        raise InputError(f"solution.csv has no row {missing}, which test.csv lists.")
    answers["target"] = submission["target"].to_numpy()
    scores = {}
    for usage in ("Public", "Private"):
        rows = answers[answers["usage"] == usage]
        if len(rows):
            recalls = {
                head: macro_recall(part["truth"].to_numpy(np.int64), part["target"].to_numpy(np.int64))
                for head, part in rows.groupby("component")
            }
            scores[usage] = weighted_mean(recalls)
    return scores
