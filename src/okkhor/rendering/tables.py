"""The sample's csv files, as Kaggle writes them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from okkhor.rendering.graphemes import CLASS_MAP_FILE, package_text
from okkhor.rendering.plan import Plan
from okkhor.rendering.shards import image_id
from okkhor.schema import HEAD_NAMES, SUBMISSION_ORDER


def write_tables(folder: Path, plan: Plan) -> None:
    """class_map.csv, train.csv, test.csv, sample_submission.csv and solution.csv.

    train.csv has a column more than Kaggle's: `writer`, the number of the hand, from 0 in the order of their first
    images, so that folds.group=writer can split by it.
    """
    (folder / CLASS_MAP_FILE).write_text(package_text(CLASS_MAP_FILE), encoding="utf-8")
    hands: dict[int, int] = {}  # by id(): a Writer holds arrays, so it can't be a key
    train = [
        (
            image_id("train", item.number),
            *item.grapheme.labels,
            item.grapheme.text,
            hands.setdefault(id(item.writer), len(hands)),
        )
        for item in plan.train
    ]
    write_csv(folder / "train.csv", train, ["image_id", *HEAD_NAMES, "grapheme", "writer"])
    rows = [(f"{image_id('test', item.number)}_{head}", item, head) for item in plan.test for head in SUBMISSION_ORDER]
    test = [(name, image_id("test", item.number), head) for name, item, head in rows]
    write_csv(folder / "test.csv", test, ["row_id", "image_id", "component"])
    write_csv(folder / "sample_submission.csv", [(name, 0) for name, _, _ in rows], ["row_id", "target"])
    solution = [(name, item.grapheme.labels[HEAD_NAMES.index(head)], item.usage) for name, item, head in rows]
    write_csv(folder / "solution.csv", solution, ["row_id", "target", "usage"])


def write_csv(path: Path, rows: Sequence[tuple[object, ...]], columns: list[str]) -> None:
    """A csv with a header and Unix line ends."""
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False, lineterminator="\n")
