"""The competition's graphemes and their labels. `compose` turns labels into text, `decompose` turns text into labels.

The parts of a grapheme follow each other in this order: reph (র্), root, ra-phala, ya-phala, vowel sign, chandrabindu.
The consonant diacritic says which of reph, ra-phala, ya-phala and chandrabindu are present.
"""

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
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
"""For each consonant diacritic: the text before the root, the text after it, and the end of the grapheme."""

GRAPHEMES_FILE, CLASS_MAP_FILE = "graphemes_1295.csv", "class_map.csv"


@dataclass(frozen=True)
class Grapheme:
    """A text and its three labels, in the order of schema.HEADS."""

    text: str
    labels: tuple[int, ...]


def package_text(name: str) -> str:
    """Read a text file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def read_components() -> tuple[tuple[str, ...], ...]:
    """Return the text of each class, a tuple for each head; "" for a class without text."""
    rows = list(csv.DictReader(package_text(CLASS_MAP_FILE).splitlines()))
    return tuple(
        tuple("" if row["component"] == "0" else row["component"] for row in rows if row["component_type"] == head.name)
        for head in HEADS
    )


@cache
def read_graphemes() -> tuple[Grapheme, ...]:
    """Return the 1,295 graphemes of the real train set with their real labels."""
    rows = csv.DictReader(package_text(GRAPHEMES_FILE).splitlines())
    return tuple(Grapheme(row["grapheme"], tuple(int(row[head.name]) for head in HEADS)) for row in rows)


def compose(labels: Sequence[int]) -> str:
    """Return the text of (root, vowel, consonant) by the label grammar."""
    roots, vowels, _ = read_components()
    root, vowel, consonant = labels
    before, after, end = CONSONANT_TEXTS[consonant]
    joiner = ZERO_WIDTH_JOINER if roots[root] == RA and after.startswith(YA_PHALA) else ""
    return before + roots[root] + joiner + after + vowels[vowel] + end


def spelling(text: str) -> str:
    """Return one text for all spellings that Unicode calls equal (ড়, ো), without a ZWNJ that separates nothing.

    To compare with; what is kept stays as it came. A ZWNJ after a hasanta and a ZWJ make another grapheme: they stay.
    """
    return re.sub(f"(?<!{HASANTA})\u200c", "", unicodedata.normalize("NFD", text))


@cache
def _labels_by_text() -> Mapping[str, tuple[int, ...]]:
    """Return the labels of every text that `compose` makes; র্র has two triples, the one with reph counts."""
    triples = list(product(*(range(head.num_classes) for head in HEADS)))
    return {spelling(compose(labels)): labels for labels in reversed(triples)}


def decompose(text: str) -> tuple[int, ...] | None:
    """Return (root, vowel, consonant) of a text by the label grammar; None if the grammar can't make the text."""
    return _labels_by_text().get(spelling(text))


def label_grapheme(text: str) -> tuple[int, ...] | None:
    """Return the labels of a text in the real train set, or those of the grammar; None if neither knows the text."""
    known = {spelling(grapheme.text): grapheme.labels for grapheme in read_graphemes()}
    return known.get(spelling(text)) or decompose(text)


def order_by_coverage(graphemes: Sequence[Grapheme]) -> list[Grapheme]:
    """Sort graphemes so that each next one has the rarest classes so far: a short prefix covers many classes."""
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
    """Return graphemes that the real train set lacks, of classes that `train` has, in random order, likely ones first.

    A grapheme is likely if each two of its three labels occur together in the real train set, so that only the triple
    is new. A vowel and a consonant diacritic that never occur together make no grapheme.
    """
    known = [grapheme.labels for grapheme in read_graphemes()]
    texts = {
        spelling(grapheme.text) for grapheme in read_graphemes()
    }  # র্যো has labels that the grammar doesn't give it
    pairs = {(i, j, labels[i], labels[j]) for labels in known for i, j in combinations(range(len(HEADS)), 2)}
    classes = [sorted({grapheme.labels[column] for grapheme in train}) for column in range(len(HEADS))]
    likely: list[Grapheme] = []
    possible: list[Grapheme] = []
    for labels in sorted(set(product(*classes)) - set(known)):
        missing = [(i, j) for i, j in combinations(range(len(HEADS)), 2) if (i, j, labels[i], labels[j]) not in pairs]
        if (1, 2) not in missing and spelling(compose(labels)) not in texts and decompose(compose(labels)) == labels:
            (possible if missing else likely).append(Grapheme(compose(labels), labels))
    return [some[i] for some in (likely, possible) for i in generator.permutation(len(some))]
