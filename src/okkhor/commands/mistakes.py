"""Tables of what a run gets wrong out of fold, for people and for the report: runs/<run>/mistakes/."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from okkhor.commands.members import Member
from okkhor.data.tables import read_class_map
from okkhor.files import replacing
from okkhor.predictions import Predictions
from okkhor.runs import RUNS, fold_folder
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.calibration import expected_calibration_error, reliability
from okkhor.scoring.decoding import decode
from okkhor.scoring.mistakes import Components, confidently_wrong, most_confused, recall_per_class
from okkhor.scoring.trained_graphemes import TrainedGraphemes, merge_graphemes
from okkhor.settings import load_stored

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
