"""A shaped grapheme as pen strokes: `trace_glyph`. Each stroke knows the part (letter or sign) that it belongs to."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT, Face, draw_text
from okkhor.rendering.strokes import Points, trace_strokes

PART_MARGIN = 0.03  # letter bodies, around a part's box
SIGNS_BEFORE = "েৈোৌ"  # these signs, or a half of them, stand to the left of their letter and hang from the head line


@dataclass(frozen=True)
class Glyph:
    """The strokes of a shaped grapheme. Lengths are in letter bodies, from the head line to the foot of ক.

    strokes: each (N, 3) float32. x is 0 in the middle of the glyph. y is 0 at the head line and 1 at the foot of ক. The
        third column is the pen's width, divided by the glyph's median stroke width.
    owners: the part of each stroke.
    boxes: (P, 2, 2) float32, left top and right bottom corner of each part.
    numbers: the font's glyph number of each part.
    loops: (K, 2) float32, the middles of the glyph's small loops.
    begins_with_sign: whether a vowel sign that hangs from the head line stands before the letter.
    """

    strokes: list[Points]
    owners: list[int]
    boxes: NDArray[np.float32]
    numbers: tuple[int, ...]
    loops: NDArray[np.float32]
    begins_with_sign: bool = False


@lru_cache(maxsize=1024)  # about 10 kB each
def trace_glyph(face: Face, text: str) -> Glyph:
    """Trace the strokes of a text that the face shapes well."""
    drawn = draw_text(face, text)
    strokes, loops = trace_strokes(drawn.ink, drawn.head_line)
    origin = np.array((drawn.ink.shape[1] / 2, drawn.head_line))
    boxes = (drawn.boxes.reshape(-1, 2, 2) - origin) / BODY_HEIGHT
    owners = [find_owner(stroke, boxes) for stroke in strokes]
    begins_with_sign = any(sign in text for sign in SIGNS_BEFORE)
    return Glyph(strokes, owners, boxes.astype(np.float32), drawn.numbers, loops, begins_with_sign)


def find_owner(stroke: Points, boxes: NDArray[np.float64]) -> int:
    """Return the part (its box: (P, 2, 2)) that holds most points of a stroke, the smallest part at a tie."""
    low, high = boxes[:, None, 0] - PART_MARGIN, boxes[:, None, 1] + PART_MARGIN
    inside = ((stroke[:, :2] >= low) & (stroke[:, :2] <= high)).all(axis=2).mean(axis=1)
    areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=1)
    return int(np.lexsort((areas, -inside.round(1)))[0])
