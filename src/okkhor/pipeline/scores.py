"""okkhor.pipeline.scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config
from okkhor.data.tables import (
    read_class_map,
    read_solution,
    read_test_table,
    read_train_table,
)
from okkhor.files import replacing
from okkhor.label_triples import TrainedGraphemes, merge_graphemes
from okkhor.pipeline.run import RUNS, Member, fold_folder
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import bootstrap_heads, interval, score_subsets, subsets_of
from okkhor.scoring.mistakes import (
    Components,
    confidently_wrong,
    expected_calibration_error,
    most_confused,
    recall_per_class,
    reliability,
)
from okkhor.scoring.submission import score_submission
from okkhor.settings import load_stored


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
    table = read_train_table(root).set_index("image_id")
    return pd.factorize(table.loc[predictions.image_ids, config.folds.group])[0].astype(np.int64)


def score_table(predictions: Predictions) -> dict[str, dict[str, float]]:
    """The scores of an out-of-fold table, as a whole and in the subsets that it allows."""
    assert predictions.labels is not None
    return score_subsets(predictions.labels, decode(predictions.probabilities), predictions.unseen)


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


NUM_PAIRS = 30  # most confused pairs of each head
NUM_IMAGES = 100  # most confidently wrong labels


def write_mistakes(member: Member, whole: Predictions, graphemes: Sequence[TrainedGraphemes]) -> None:
    """recall.csv, confused.csv, confident.csv and reliability.csv, of the most probable classes.

    whole: out of fold, with labels. graphemes: of the network of each fold.
    """
    root = Path(load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml").data.root)
    texts = read_class_map(root) if (root / "class_map.csv").exists() else None
    tables = find_mistakes(whole, graphemes, texts)
    folder = RUNS / member.run / f"mistakes{member.suffix}"
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")
    errors = expected_calibration_error(tables["reliability"])
    print("\nExpected calibration error: " + ", ".join(f"{name} {errors[name]:.3f}" for name in HEAD_NAMES))
    print(f"{folder}: {', '.join(f'{name}.csv' for name in tables)}; the worst of each head:")
    worst = pd.concat([tables["recall"].groupby("head", sort=False).head(3)])
    print("  " + worst.to_string(index=False, float_format="%.3f").replace("\n", "\n  "))


def find_mistakes(
    whole: Predictions, graphemes: Sequence[TrainedGraphemes], texts: Components | None
) -> dict[str, pd.DataFrame]:
    """recall, confused, confident and reliability, of the most probable classes. texts: of the classes of each head."""
    assert whole.labels is not None
    decoded = decode(whole.probabilities)
    counts = merge_graphemes(graphemes).class_counts()
    counts = {name: values // len(graphemes) for name, values in counts.items()}  # of one network
    return {
        "recall": recall_per_class(whole.labels, decoded, counts, texts),
        "confused": most_confused(whole.labels, decoded, NUM_PAIRS, texts),
        "confident": confidently_wrong(whole, decoded, NUM_IMAGES, texts),
        "reliability": reliability(whole.labels, whole.probabilities),
    }
