"""Forms of conjuncts: those of their two letters, smaller, beside each other or one above the other."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Variant = tuple[NDArray[np.float64], ...]
"""The strokes of a form, each (N, 2): x and y as letter_forms.yaml has them."""
Layout = Literal["beside", "above"]

# Of the first and the second letter: the left top corner and the size, in a letter's box.
PLACES = {
    "beside": (((0.0, 0.05), (0.62, 0.85)), ((0.40, 0.08), (0.60, 0.95))),
    "above": (((0.0, 0.0), (0.90, 0.56)), ((0.18, 0.52), (0.82, 0.62))),
}
FLAT = 0.12  # letter bodies: a stroke that is no higher is a head line
STEEP = 0.1  # letter bodies: a stroke from top to bottom that is no wider is a stem
RIGHT = 1.05  # x from which on a stroke is the head line to the right of a stem


def compose(first: Sequence[Variant], second: Sequence[Variant], layout: Layout) -> Iterator[Variant]:
    """A form of the conjunct for each pair of its letters' forms; its head line is the font's."""
    for one, other in product(first, second):
        one, other = (tuple(without_head_line(strokes)) for strokes in (one, other))
        if layout == "beside":  # the second letter's first stroke serves as its stem
            one = tuple(stroke for stroke in one if not is_stem(stroke))
        (corner, size), (other_corner, other_size) = PLACES[layout]
        yield (
            *(np.array(corner) + stroke * size for stroke in one),
            *(np.array(other_corner) + stroke * other_size for stroke in other),
        )


def without_head_line(strokes: Variant) -> Iterator[NDArray[np.float64]]:
    """The strokes, the head line away, also where it goes over into a stem."""
    for stroke in strokes:
        if stroke[:, 0].max() > RIGHT:
            stroke = stroke[(stroke[:, 0] < 0.95) & (stroke[:, 1] > 0.05)]
        if len(stroke) > 1 and np.ptp(stroke[:, 1]) > FLAT:
            yield stroke


def is_stem(stroke: NDArray[np.float64]) -> bool:
    x, y = stroke.T
    return bool(np.ptp(x) < STEEP and np.ptp(y) > 0.8)
