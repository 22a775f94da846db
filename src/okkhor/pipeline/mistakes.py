"""`write_mistakes`: tables of what a run gets wrong out of fold, for people and for the report."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from okkhor.data.tables import read_class_map
from okkhor.files import replacing, where_allowed
from okkhor.label_triples import TripleCounts, merge_triples
from okkhor.pipeline.run import Run
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.mistakes import (
    Components,
    confidently_wrong,
    expected_calibration_error,
    most_confused,
    recall_per_class,
    reliability,
)

NUM_PAIRS = 30  # most confused pairs of each head
NUM_IMAGES = 100  # most confidently wrong labels


def write_mistakes(run: Run, whole: Predictions, graphemes: Sequence[TripleCounts]) -> None:
    """Write recall.csv, confused.csv, confident.csv and reliability.csv of the most probable classes.

    Parameters
    ----------
    whole : the out-of-fold table of all folds, with labels
    graphemes : what the network of each fold was trained on
    """
    root = Path(run.config().data.root)
    texts = read_class_map(root) if (root / "class_map.csv").exists() else None
    tables = find_mistakes(whole, graphemes, texts)
    folder = run.folder / f"mistakes{run.suffix}"
    with where_allowed(folder):
        for name, table in tables.items():
            with replacing(folder / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False, float_format="%.4f")
    errors = expected_calibration_error(tables["reliability"])
    print("\nExpected calibration error: " + ", ".join(f"{name} {errors[name]:.3f}" for name in HEAD_NAMES))
    print(f"{folder}: {', '.join(f'{name}.csv' for name in tables)}; the worst of each head:")
    worst = tables["recall"].groupby("head", sort=False).head(3)
    print("  " + worst.to_string(index=False, float_format="%.3f").replace("\n", "\n  "))


def find_mistakes(
    whole: Predictions, graphemes: Sequence[TripleCounts], texts: Components | None
) -> dict[str, pd.DataFrame]:
    """Return the tables by name. texts: for each head, the Bengali text of each class; None: tables without texts."""
    assert whole.labels is not None
    decoded = decode(whole.probabilities)
    counts = merge_triples(graphemes).class_counts()
    counts = {name: values // len(graphemes) for name, values in counts.items()}  # of one network
    return {
        "recall": recall_per_class(whole.labels, decoded, counts, texts),
        "confused": most_confused(whole.labels, decoded, NUM_PAIRS, texts),
        "confident": confidently_wrong(whole, decoded, NUM_IMAGES, texts),
        "reliability": reliability(whole.labels, whole.probabilities),
    }
