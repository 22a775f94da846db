"""./run.sh ensemble runs=[a,b] name=<x>: the mean of runs, scored out of fold, and its submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.commands.score import choose_folds, print_leaderboard, print_scores
from okkhor.data.tables import read_test_table
from okkhor.errors import ConfigError
from okkhor.predictions import Predictions, concatenate, read_predictions
from okkhor.runs import fold_folder, test_suffix
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import average
from okkhor.scoring.metric import competition_score
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, load_stored, split_argument


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.runs or not config.name:
        raise ConfigError("ensemble needs runs=[<run>,<run>] and name=<name of the submission>.")
    folds = {run: choose_folds(run, config.fold) for run in config.runs}
    first = fold_folder(config.runs[0], folds[config.runs[0]][0])
    given = dict(map(split_argument, arguments)).get("data.root")
    root = Path(given or load_stored(first / "config.yaml").data.root)
    score_ensemble(config.runs, folds)
    submit_ensemble(folds, root, SUBMISSIONS / f"{config.name}.csv")


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


def submit_ensemble(folds: dict[str, list[int]], root: Path, path: Path) -> None:
    """A run's part is the mean of its folds; the ensemble is the mean of the runs. root: whose test images."""
    test = read_test_table(root)
    members = [average_folds(run, numbers, root) for run, numbers in folds.items()]
    mean = average(members, names=list(folds))
    submission = make_submission(test, mean.image_ids, decode(mean.probabilities))
    write_submission(submission, test, path)
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test)


def average_folds(run: str, folds: Sequence[int], root: Path) -> Predictions:
    table = f"test{test_suffix(run, folds[0], root)}.parquet"
    return average(read_tables(run, folds, table), names=[f"{run} fold {fold}" for fold in folds])


def read_tables(run: str, folds: Sequence[int], file: str) -> list[Predictions]:
    return [read_predictions(fold_folder(run, fold) / file) for fold in folds]
