"""A shaped grapheme as strokes that know which letter or sign they are part of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT, Parts
from okkhor.rendering.strokes import Points, trace_strokes

PART_MARGIN = 0.03  # letter bodies, around a part's box


@dataclass(frozen=True)
class Glyph:
    """The strokes of a shaped grapheme, each (N, 3) float32: x, y, and the pen's width.

    x and y are in letter bodies: y is 0 at the head line and 1 at the foot of ক, x is 0 in the middle of the glyph. The
    width is in units of the glyph's median stroke width. parts: the index of each stroke's part, a letter or a sign;
    boxes: (P, 2, 2), each part's left top and right bottom; numbers: of the parts among the font's glyphs. knots:
    (K, 2), the middles of its small loops. begins_with_sign: whether the first thing from the left is a vowel sign that
    hangs from the head line.
    """

    strokes: list[Points]
    parts: list[int]
    boxes: NDArray[np.float32]
    numbers: tuple[int, ...]
    knots: NDArray[np.float32]
    begins_with_sign: bool = False

    @property
    def num_parts(self) -> int:
        return len(self.boxes)

    @property
    def centres(self) -> NDArray[np.float32]:
        """(P, 2), the middle of each part."""
        return self.boxes.mean(axis=1)


def trace_glyph(mask: NDArray[np.uint8], head_line: int, parts: Parts) -> Glyph:
    """The strokes of a glyph's mask (H, W)."""
    origin = np.array((mask.shape[1] / 2, head_line))
    strokes, knots = trace_strokes(mask, head_line)
    corners = (parts.boxes.reshape(-1, 2, 2) - origin) / BODY_HEIGHT
    owners = [find_part(stroke, corners) for stroke in strokes]
    return Glyph(strokes, owners, corners.astype(np.float32), parts.numbers, knots)


def find_part(stroke: Points, corners: NDArray[np.float64]) -> int:
    """The part that most points of a stroke lie in; of several the smallest. corners: (P, 2, 2), top left first."""
    low, high = corners[:, None, 0] - PART_MARGIN, corners[:, None, 1] + PART_MARGIN
    inside = ((stroke[:, :2] >= low) & (stroke[:, :2] <= high)).all(axis=2).mean(axis=1)
    areas = np.prod(corners[:, 1] - corners[:, 0], axis=1)
    return int(np.lexsort((areas, -inside.round(1)))[0])
