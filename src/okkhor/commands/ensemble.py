"""./run.sh ensemble runs=[a,b] name=<x>: the mean of runs, scored out of fold, and its submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.commands.score import choose_folds, print_leaderboard, print_scores
from okkhor.config import Config
from okkhor.data.tables import read_test_table
from okkhor.errors import ConfigError
from okkhor.predictions import Predictions, concatenate, read_predictions
from okkhor.runs import fold_folder
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import average
from okkhor.scoring.metric import competition_score
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, load_stored


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.runs or not config.name:
        raise ConfigError("ensemble needs runs=[<run>,<run>] and name=<name of the submission>.")
    folds = {run: choose_folds(run, config.fold) for run in config.runs}
    score_ensemble(config.runs, folds)
    submit_ensemble(config, folds)


def score_ensemble(runs: Sequence[str], folds: dict[str, list[int]]) -> None:
    """Print the out-of-fold score of each member and of their mean: the very ensemble that is submitted."""
    members = [concatenate(read_tables(run, folds[run], "oof.parquet")) for run in runs]
    tables = [*zip(runs, members, strict=True), ("ensemble", average(members, names=runs))]
    scores = {}
    for name, table in tables:
        assert table.labels is not None
        scores[name] = competition_score(table.labels, decode(table.probabilities))
    print(f"Out of fold, {len(members[0]):,} images:")
    print_scores(scores)


def submit_ensemble(config: Config, folds: dict[str, list[int]]) -> None:
    """A run's part is the mean of its folds; the ensemble is the mean of the runs."""
    root = Path(load_stored(fold_folder(config.runs[0], folds[config.runs[0]][0]) / "config.yaml").data.root)
    test = read_test_table(root)
    members = [average_folds(run, folds[run]) for run in config.runs]
    mean = average(members, names=config.runs)
    submission = make_submission(test, mean.image_ids, decode(mean.probabilities))
    path = SUBMISSIONS / f"{config.name}.csv"
    write_submission(submission, test, path)
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test)


def average_folds(run: str, folds: Sequence[int]) -> Predictions:
    return average(read_tables(run, folds, "test.parquet"), names=[f"{run} fold {fold}" for fold in folds])


def read_tables(run: str, folds: Sequence[int], file: str) -> list[Predictions]:
    return [read_predictions(fold_folder(run, fold) / file) for fold in folds]
