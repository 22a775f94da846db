"""`prepare`: check a data folder, and build what training needs and is not there yet: sample, folds, cache."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config
from okkhor.data.cache import build_cache
from okkhor.data.competition import TestSet, TrainSet, apply_corrections, read_test_set, read_train_set
from okkhor.data.folds import Audit, Folds, audit_folds, load_folds
from okkhor.data.tables import read_train_table
from okkhor.schema import HEADS


@dataclass(frozen=True)
class Prepared:
    """A checked data folder, ready to train on. cache: the path of images.npy.

    corrected: train.csv with the fixed labels. usable: (N,) bool, its rows that are not blacklisted.
    """

    train: TrainSet
    corrected: pd.DataFrame
    usable: NDArray[np.bool_]
    test: TestSet | None
    folds: Folds
    cache: Path


def prepare(config: Config) -> Prepared:
    """Read and check everything, then build what is not there yet."""
    root = Path(config.data.root)
    if root == Path(config.sample.root):
        if not root.exists():
            print(f"Rendering a sample data set into {root}, once.")
        from okkhor.rendering.sample import write_sample  # Kaggle's own files need no renderer

        write_sample(config.sample, config.hand)
    train, test = read_train_set(root, config.data.partial), read_test_set(root)
    corrected, usable = apply_corrections(train.table, config.data)
    folds = load_folds(train.table, root, config.folds)
    if config.data.partial:
        print(f"data.partial=true: trains on {len(train.table):,} of the {len(read_train_table(root)):,} in train.csv.")
    print_findings(root, train, test, folds, audit_folds(train.table, folds))
    return Prepared(train, corrected, usable, test, folds, build_cache(train, config.data))


def print_findings(root: Path, train: TrainSet, test: TestSet | None, folds: Folds, audit: Audit) -> None:
    print(f"{root}: {len(train.table):,} train images of {train.table['grapheme'].nunique():,} graphemes", end="; ")
    print(f"{test.table['image_id'].nunique():,} test images." if test else "no test images, so no submission.")
    print(f"{folds.path}: {len(audit.sizes)} folds of {min(audit.sizes):,} to {max(audit.sizes):,} images.")
    if folds.has_unseen:
        few, many = min(audit.unseen_shares), max(audit.unseen_shares)
        print(
            f"  Each fold trains without {min(audit.unseen_graphemes)} to {max(audit.unseen_graphemes)} graphemes, "
            f"of which {few:.1%} to {many:.1%} of its validation images are."
        )
    print(f"  {'head':20} {'classes':>7} {'largest deviation of a share':>29}")
    for head in HEADS:
        num_present = head.num_classes - len(audit.absent[head.name])
        print(f"  {head.name:20} {num_present:7} {audit.deviations[head.name]:22.3f} points")
    for head in HEADS:
        for fault, labels in (("no image", audit.absent[head.name]), ("one image only", audit.single[head.name])):
            if labels:
                shown = ", ".join(map(str, labels[:8])) + (" ..." if len(labels) > 8 else "")
                print(f"Warning: {len(labels)} classes of {head.name} have {fault} in train.csv: {shown}")
