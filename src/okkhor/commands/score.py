"""./run.sh score: the out-of-fold score of a run, or of a submission where the answers are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from okkhor.config import Config
from okkhor.data.tables import SUBMISSION_COLUMNS, read_csv, read_solution, read_test_table
from okkhor.errors import ConfigError
from okkhor.predictions import concatenate, read_predictions
from okkhor.runs import finished_folds, fold_folder
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import competition_score
from okkhor.scoring.submission import check_submission, score_submission
from okkhor.settings import load_arguments, select_folds


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if config.submission:
        score_file(Path(config.submission), Path(config.data.root))
    elif config.run:
        score_run(config)
    else:
        raise ConfigError("score needs run=<run>, or submission=<csv> data.root=<folder with solution.csv>.")


def score_run(config: Config) -> None:
    """Print the scores of each fold, and of all of them as one set: a mean over folds would not be the metric."""
    folds = choose_folds(config.run, config.fold)
    tables = [read_predictions(fold_folder(config.run, fold) / "oof.parquet") for fold in folds]
    scores = {}
    for name, table in [*zip([f"fold {fold}" for fold in folds], tables, strict=True), ("all", concatenate(tables))]:
        assert table.labels is not None
        scores[name] = competition_score(table.labels, decode(table.probabilities))
    print(f"{config.run}, out of fold:")
    print_scores(scores)


def choose_folds(run: str, fold: object) -> list[int]:
    """The finished folds of a run, or those of them that `fold` names. Raises where one is not finished."""
    finished = finished_folds(run)
    if fold is None or fold == "all":
        return finished
    chosen = select_folds(fold, max(finished) + 1)
    missing = [number for number in chosen if number not in finished]
    if missing:
        raise ConfigError(f"fold={fold}: fold {missing[0]} of run {run} is not finished. Finished: {finished}.")
    return chosen


def score_file(path: Path, root: Path) -> None:
    """Check a submission against test.csv and print its Public and Private score."""
    test = read_test_table(root)
    submission = read_csv(path, SUBMISSION_COLUMNS, integers=("target",))
    check_submission(submission, test, str(path))
    print_leaderboard(submission, root, test)


def print_leaderboard(submission: pd.DataFrame, root: Path, test: pd.DataFrame) -> None:
    """Print the local leaderboard; nothing where the folder has no solution.csv."""
    if (root / "solution.csv").exists():
        scores = score_submission(submission, read_solution(root), test)
        print("Local leaderboard: " + ", ".join(f"{usage} {score:.4f}" for usage, score in scores.items()))


def print_scores(scores: Mapping[str, Mapping[str, float]]) -> None:
    """A line for each name: the score and each head's macro recall."""
    print(f"  {'':24} {'score':>7}  " + "  ".join(f"{name:>20}" for name in HEAD_NAMES))
    for name, row in scores.items():
        print(f"  {name:24} {row['score']:7.4f}  " + "  ".join(f"{row[head]:20.4f}" for head in HEAD_NAMES))
