"""The graphemes of the competition, their labels, and the label grammar: from labels to text and back.

A grapheme is written: reph (র্), root, ra-phala, ya-phala, vowel sign, chandrabindu. The consonant diacritic says which
of the four consonant parts are there.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations, product

import numpy as np

from okkhor.schema import HEADS

HASANTA = "\u09cd"  # joins two consonants into one shape
ZERO_WIDTH_JOINER = "\u200d"  # keeps র before ya-phala a full letter: without it র্য is a reph over য
RA, YA, CHANDRABINDU = "\u09b0", "\u09af", "\u0981"
REPH, YA_PHALA, RA_PHALA = RA + HASANTA, HASANTA + YA, HASANTA + RA

CONSONANT_TEXTS = (
    ("", "", ""),
    ("", "", CHANDRABINDU),
    (REPH, "", ""),
    (REPH, YA_PHALA, ""),
    ("", YA_PHALA, ""),
    ("", RA_PHALA, ""),
    ("", RA_PHALA + YA_PHALA, ""),
)
"""For each consonant diacritic, what stands before the root, behind it, and at the end of the grapheme."""

GRAPHEMES_FILE, CLASS_MAP_FILE = "graphemes_1295.csv", "class_map.csv"


@dataclass(frozen=True)
class Grapheme:
    """A text and its three labels, in the order of schema.HEADS."""

    text: str
    labels: tuple[int, ...]


def package_text(name: str) -> str:
    """One of the label files that lie beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def read_components() -> tuple[tuple[str, ...], ...]:
    """For each head, the text of each class; '' where a class stands for nothing."""
    rows = list(csv.DictReader(package_text(CLASS_MAP_FILE).splitlines()))
    return tuple(
        tuple("" if row["component"] == "0" else row["component"] for row in rows if row["component_type"] == head.name)
        for head in HEADS
    )


@cache
def read_graphemes() -> tuple[Grapheme, ...]:
    """The 1,295 graphemes of the real train set with their real labels."""
    rows = csv.DictReader(package_text(GRAPHEMES_FILE).splitlines())
    return tuple(Grapheme(row["grapheme"], tuple(int(row[head.name]) for head in HEADS)) for row in rows)


def compose(labels: Sequence[int]) -> str:
    """The text that the label grammar gives to (root, vowel, consonant)."""
    roots, vowels, _ = read_components()
    root, vowel, consonant = labels
    before, behind, end = CONSONANT_TEXTS[consonant]
    joiner = ZERO_WIDTH_JOINER if roots[root] == RA and behind.startswith(YA_PHALA) else ""
    return before + roots[root] + joiner + behind + vowels[vowel] + end


def decompose(text: str) -> tuple[int, int, int] | None:
    """(root, vowel, consonant) of a text, or None where the grammar knows no labels for it."""
    roots, vowels, _ = read_components()
    for consonant, (before, behind, end) in enumerate(CONSONANT_TEXTS):
        middle = text.removeprefix(before).removesuffix(end)
        vowel = next((label for label, sign in enumerate(vowels) if sign and middle.endswith(sign)), 0)
        root = middle.removesuffix(vowels[vowel]).removesuffix(behind).removesuffix(ZERO_WIDTH_JOINER)
        if root in roots and compose((roots.index(root), vowel, consonant)) == text:
            return roots.index(root), vowel, consonant
    return None


def label_grapheme(text: str) -> tuple[int, ...] | None:
    """The labels of a text: the real train set's, else the grammar's, else None."""
    known = {grapheme.text: grapheme.labels for grapheme in read_graphemes()}
    return known.get(text) or decompose(text)


def order_by_coverage(graphemes: Sequence[Grapheme]) -> list[Grapheme]:
    """The graphemes with many classes of each head in every prefix: the next one's classes are the rarest so far."""
    labels = np.array([grapheme.labels for grapheme in graphemes])
    counts = [np.zeros(head.num_classes) for head in HEADS]
    left = np.ones(len(graphemes), bool)
    order = []
    for _ in graphemes:
        gain = sum(1 / (1 + count[labels[:, column]]) for column, count in enumerate(counts))
        pick = int(np.argmax(np.where(left, gain, -1.0)))
        left[pick] = False
        for count, label in zip(counts, labels[pick], strict=True):
            count[label] += 1
        order.append(graphemes[pick])
    return order


def unseen_candidates(train: Sequence[Grapheme], generator: np.random.Generator) -> list[Grapheme]:
    """Graphemes that the real train set lacks, of classes that `train` has, in random order, the likelier ones first.

    Likelier: each two of the three labels occur together in the real train set, so that only the triple is new. A
    vowel and a consonant diacritic that never occur together make no grapheme.
    """
    known = [grapheme.labels for grapheme in read_graphemes()]
    texts = {grapheme.text for grapheme in read_graphemes()}  # র্যো has labels that the grammar doesn't give it
    pairs = {(i, j, labels[i], labels[j]) for labels in known for i, j in combinations(range(len(HEADS)), 2)}
    classes = [sorted({grapheme.labels[column] for grapheme in train}) for column in range(len(HEADS))]
    likely: list[Grapheme] = []
    possible: list[Grapheme] = []
    for labels in sorted(set(product(*classes)) - set(known)):
        missing = [(i, j) for i, j in combinations(range(len(HEADS)), 2) if (i, j, labels[i], labels[j]) not in pairs]
        if (1, 2) not in missing and compose(labels) not in texts and decompose(compose(labels)) == labels:
            (possible if missing else likely).append(Grapheme(compose(labels), labels))
    return [group[i] for group in (likely, possible) for i in generator.permutation(len(group))]
