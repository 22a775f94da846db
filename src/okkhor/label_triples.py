"""`Labels`: the labels of images, as one array; `TripleCounts`: the label triples that a network was trained on.

A label triple is the root, vowel diacritic and consonant diacritic of an image: its grapheme, as the score sees it. The
1,295 texts of train.csv have 1,292 triples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.errors import InputError, first_line
from okkhor.files import replacing
from okkhor.schema import HEAD_NAMES, HEADS

HEADER = ",".join((*HEAD_NAMES, "images"))


@dataclass(frozen=True, eq=False)
class Labels(Mapping[str, NDArray[np.int64]]):
    """The labels of N images: one array, whose columns have names: `labels["vowel_diacritic"]` is (N,) int64.

    array: (N, K) int64. names: its columns, the heads as in HEADS, then `grapheme` where a network has that head.
    """

    array: NDArray[np.int64]
    names: tuple[str, ...] = HEAD_NAMES

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[np.integer]]) -> "Labels":
        """Join columns, (N,) each."""
        return cls(np.stack(list(columns.values()), axis=1).astype(np.int64), tuple(columns))

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "Labels":
        """Take the three heads' columns of a table such as train.csv."""
        return cls(table[list(HEAD_NAMES)].to_numpy(np.int64))

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        if name not in self.names:
            raise KeyError(name)
        return self.array[:, self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def triples(self) -> NDArray[np.int64]:
        """(N, 3) int64: the heads' columns, in the order of HEADS."""
        return self.array[:, [self.names.index(name) for name in HEAD_NAMES]]

    def rows(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Labels":
        """Select images: (n,) int64, (N,) bool, or a slice, which copies nothing."""
        return Labels(self.array[rows], self.names)


@dataclass(frozen=True)
class TripleCounts:
    """The label triples that a network was trained on.

    triples: (G, 3) int64, in the order of HEADS, each once. images: (G,) int64, the training images of each, above 0.
    """

    triples: NDArray[np.int64]
    images: NDArray[np.int64]

    def class_counts(self) -> dict[str, NDArray[np.int64]]:
        """For each head, (num_classes,) int64: the training images of each class."""
        return {
            head.name: np.bincount(self.triples[:, column], self.images, head.num_classes).astype(np.int64)
            for column, head in enumerate(HEADS)
        }


def count_triples(labels: Labels) -> TripleCounts:
    """Count the images of each label triple."""
    return TripleCounts(*np.unique(labels.triples, axis=0, return_counts=True))


def find_triples(labels: Labels, triples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (N,) int64: the row of each image's label triple in `triples` (G, 3), -1 where it is not there."""
    known, wanted = (pd.MultiIndex.from_arrays(array.T) for array in (triples, labels.triples))
    return known.get_indexer(wanted).astype(np.int64)


def number_triples(table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the label triples of a table: (N,) int64, the number of each row's; (G, 3) int64, the triples."""
    triples, numbers = np.unique(Labels.from_table(table).array, axis=0, return_inverse=True)
    return numbers.reshape(-1), triples


def merge_triples(counts: Sequence[TripleCounts]) -> TripleCounts:
    """Add up the training images of several networks."""
    triples, numbers = np.unique(np.concatenate([one.triples for one in counts]), axis=0, return_inverse=True)
    images = np.bincount(numbers.reshape(-1), np.concatenate([one.images for one in counts]))
    return TripleCounts(triples, images.astype(np.int64))


def write_triples(counts: TripleCounts, path: Path) -> None:
    table = np.column_stack([counts.triples, counts.images])
    with replacing(path) as temporary:
        np.savetxt(temporary, table, "%d", delimiter=",", header=HEADER, comments="")


def read_triples(path: Path) -> TripleCounts:
    """Read what `write_triples` wrote. Raises InputError where the file is missing or holds anything else."""
    highest = [*(head.num_classes - 1 for head in HEADS), np.inf]
    try:
        header, *rows = [line for line in path.read_text(encoding="utf-8").split("\n") if line] or [""]
        # np.loadtxt is strict: pandas takes the first cell of a row that is too long for an index
        table = np.loadtxt(rows or ["0"], np.int64, comments=None, delimiter=",", ndmin=2)
        if header != HEADER or table.shape[1] != 4 or (table < [0, 0, 0, 1]).any() or (table > highest).any():
            raise ValueError(f"expected labels and counts under {HEADER}")
    except FileNotFoundError:
        raise InputError(f"{path}: not there. Train that fold again: overwrite=true.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no label triples ({first_line(error)}). Train again: overwrite=true.") from error
    return TripleCounts(table[:, :3].copy(), table[:, 3].copy())
