"""A shaped grapheme as strokes that know which letter or sign they are part of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT
from okkhor.rendering.strokes import Points, trace_strokes

PART_MARGIN = 0.03  # letter bodies, around a part's box


@dataclass(frozen=True)
class Glyph:
    """The strokes of a shaped grapheme, each (N, 3) float32: x, y, and the pen's width.

    x and y are in letter bodies: y is 0 at the head line and 1 at the foot of ক, x is 0 in the middle of the glyph. The
    width is in units of the glyph's median stroke width. parts: the number of each stroke's part, a letter or a sign;
    centres: (P, 2), the middle of each part. knots: (K, 2), the middles of its small loops. begins_with_sign: whether
    the first thing from the left is a vowel sign that hangs from the head line.
    """

    strokes: list[Points]
    parts: list[int]
    centres: NDArray[np.float32]
    knots: NDArray[np.float32]
    begins_with_sign: bool = False

    @property
    def num_parts(self) -> int:
        return len(self.centres)


def trace_glyph(mask: NDArray[np.uint8], head_line: int, boxes: NDArray[np.float64]) -> Glyph:
    """The strokes of a glyph's mask (H, W); boxes: (P, 4) left, top, right, bottom of its parts, in pixels of it."""
    origin = np.array((mask.shape[1] / 2, head_line))
    strokes, knots = trace_strokes(mask, head_line)
    corners = (boxes.reshape(-1, 2, 2) - origin) / BODY_HEIGHT
    parts = [find_part(stroke, corners) for stroke in strokes]
    return Glyph(strokes, parts, corners.mean(axis=1).astype(np.float32), knots)


def find_part(stroke: Points, corners: NDArray[np.float64]) -> int:
    """The part that most points of a stroke lie in; of several the smallest. corners: (P, 2, 2), top left first."""
    low, high = corners[:, None, 0] - PART_MARGIN, corners[:, None, 1] + PART_MARGIN
    inside = ((stroke[:, :2] >= low) & (stroke[:, :2] <= high)).all(axis=2).mean(axis=1)
    areas = np.prod(corners[:, 1] - corners[:, 0], axis=1)
    return int(np.lexsort((areas, -inside.round(1)))[0])
