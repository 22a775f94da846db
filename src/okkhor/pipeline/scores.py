"""`score_table`, `print_scores`, `print_leaderboard`: what a person is told of scores."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from okkhor.data.tables import read_solution
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import score_subsets
from okkhor.scoring.submission import score_submission


def score_table(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Score an out-of-fold table as a whole, and in the subsets `seen`, `unseen` and `mix` where it has them."""
    assert predictions.labels is not None
    return score_subsets(predictions.labels, decode(predictions.probabilities), predictions.unseen)


def print_scores(scores: Mapping[str, Mapping[str, float]]) -> None:
    """Print a line for each name: the score and each head's macro recall."""
    print(f"  {'':24} {'score':>7}  " + "  ".join(f"{name:>20}" for name in HEAD_NAMES))
    for name, row in scores.items():
        print(f"  {name:24} {row['score']:7.4f}  " + "  ".join(f"{row[head]:20.4f}" for head in HEAD_NAMES))


def print_leaderboard(submission: pd.DataFrame, root: Path, test: pd.DataFrame) -> None:
    """Print the Public and Private score where the folder has a solution.csv."""
    if (root / "solution.csv").exists():
        scores = score_submission(submission, read_solution(root), test)
        print("Local leaderboard: " + ", ".join(f"{usage} {score:.4f}" for usage, score in scores.items()))
