"""./run.sh score: the out-of-fold score of a run, or of a submission where the answers are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.commands.decisions import print_decisions
from okkhor.commands.members import Member, open_member, read_out_of_fold
from okkhor.commands.mistakes import write_mistakes
from okkhor.config import Config
from okkhor.data.tables import (
    SUBMISSION_COLUMNS,
    read_class_map,
    read_csv,
    read_solution,
    read_test_table,
    read_train_table,
)
from okkhor.errors import ConfigError
from okkhor.predictions import Predictions
from okkhor.runs import fold_folder
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import score_subsets, subsets_of
from okkhor.scoring.submission import check_submission, score_submission
from okkhor.scoring.uncertainty import bootstrap_heads, interval
from okkhor.settings import load_arguments, load_stored


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if config.submission:
        score_file(Path(config.submission), Path(config.data.root))
    elif config.run:
        score_run(config)
    else:
        raise ConfigError("score needs run=<run>, or submission=<csv> data.root=<folder with solution.csv>.")


def score_run(config: Config) -> None:
    """Print the scores of each fold, and of all of them as one set: a mean over folds would not be the metric.

    Then what each rule of decoding would bring, and tables of what the networks get wrong.
    """
    member = open_member(config.run, config.fold)
    whole, folds = read_out_of_fold(member)
    scores = {f"fold {n}": score_table(fold.predictions)["all"] for n, fold in zip(member.folds, folds, strict=True)}
    print(f"{config.run}, out of fold, {len(whole):,} images:")
    print_scores(scores | score_table(whole))
    print_chance(member, whole)
    print_decisions(folds, config.decode)
    write_mistakes(member, whole, [fold.graphemes for fold in folds])


def print_chance(member: Member, whole: Predictions) -> None:
    """Print how far chance alone moves the score of a test set of the data folder's size: what a leaderboard shows."""
    config = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml")
    root, group = Path(config.data.root), config.folds.group
    if not (root / "test.csv").exists() or (group and not (root / "train.csv").exists()):
        return
    assert whole.labels is not None
    name, weights = list(subsets_of(whole.unseen, len(whole)).items())[-1]  # mix, or all
    size = read_test_table(root)["image_id"].nunique()
    groups = read_groups(config, whole)
    decided = [decode(whole.probabilities)]
    draws = bootstrap_heads(whole.labels, decided, weights, num_images=size, groups=groups)
    low, high = interval(draws["score"][0])
    print(
        f"  A test set of {size:,} images like these ({name}) scores {low:.4f} to {high:.4f}, in 95 of 100 draws",
        end=" ",
    )
    print(f"of {group}s and images." if group else "of images; what writers vary comes on top (folds.group).")


def read_groups(config: Config, predictions: Predictions) -> NDArray[np.int64] | None:
    """(N,) int64, from 0: the group of each image, such as its writer; None where folds keep no groups together."""
    if not config.folds.group:
        return None
    root = Path(config.data.root)
    table = read_train_table(root, read_class_map(root)).set_index("image_id")
    return pd.factorize(table.loc[predictions.image_ids, config.folds.group])[0].astype(np.int64)


def score_table(predictions: Predictions) -> dict[str, dict[str, float]]:
    """The scores of an out-of-fold table, as a whole and in the subsets that it allows."""
    assert predictions.labels is not None
    return score_subsets(predictions.labels, decode(predictions.probabilities), predictions.unseen)


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
