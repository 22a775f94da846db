"""The skeleton of ink, lines one pixel wide: `skeletonize`. And the balls and holes of printed ink, which a pen loops.

Algorithm: Zhang and Suen 1984, doi:10.1145/357994.358023.
"""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT

CLOCKWISE = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
"""(row, column) in a 3 x 3 window of the paper's neighbours P2 to P9, from the one above on."""
HOLE_SIZE = 0.3  # letter bodies: a wider or higher hole is no small loop

# In units of the ink's median half-width:
BALL_WIDTH = 2.15  # ink that is wider is a ball: it is 1.9 where strokes meet, 2.2 to 2.9 in a ball
LOOP_WIDTH = 1.3  # the ink that is left around the hole in a ball
BALL_END_WIDTH = 1.45  # a stroke's end that is thicker is a ball

BALL_REACH = 3  # points of a stroke that its ball takes
LOOP_RADIUS = 0.07  # letter bodies, of the loop that replaces a ball


def skeletonize(ink: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the skeleton (H, W) of ink (H, W), 0 or 1, that does not touch the edges; each piece keeps a pixel."""
    weights = np.zeros((3, 3), np.uint8)
    for bit, place in enumerate(CLOCKWISE):
        weights[place] = 1 << bit
    left, before = ink.copy(), -1
    while (now := cv2.countNonZero(left)) != before:
        before = now
        for keep in _keep_tables():
            left &= cv2.LUT(cv2.filter2D(left, -1, weights), keep)
    number, pieces, _, middles = cv2.connectedComponentsWithStats(ink)
    lost = set(range(1, number)) - set(np.asarray(pieces)[left > 0].tolist())  # dots of 2 x 2 pixels
    for piece in lost:
        column, row = np.rint(middles[piece]).astype(int)
        left[row, column] = 1
    return left > 0


@cache
def _keep_tables() -> NDArray[np.uint8]:
    """Return for both halves of a round whether a pixel stays, by the byte of its neighbours: (2, 256) uint8."""
    tables = np.ones((2, 256), np.uint8)
    for code in range(256):
        neighbours = [code >> bit & 1 for bit in range(8)]
        up, _, right, _, down, _, left, _ = neighbours
        edges = sum(second > first for first, second in pairwise([*neighbours, up]))
        if 2 <= sum(neighbours) <= 6 and edges == 1:
            tables[0, code] = (up and right and down) or (right and down and left)
            tables[1, code] = (up and right and left) or (up and down and left)
    return tables


def find_holes(ink: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Return the middles (x, y), in pixels, of the small holes in ink (H, W)."""
    _, _, boxes, centroids = cv2.connectedComponentsWithStats(1 - ink, connectivity=4)
    sizes = np.asarray(boxes)[:, 2:4].max(axis=1)
    return [tuple(centre) for centre in np.asarray(centroids)[sizes < HOLE_SIZE * BODY_HEIGHT].tolist()]


def hollow_balls(ink: NDArray[np.uint8], half_width: NDArray[np.float32], median: float) -> NDArray[np.uint8]:
    """Return ink (H, W) with a hole in each ball of a printed শ, ম or ক্ষ, where a pen draws a loop.

    half_width: (H, W), each pixel's distance from paper. median: its median along the skeleton.
    """
    reach = 2 * round(BALL_WIDTH * median) + 1
    balls = cv2.dilate((half_width > BALL_WIDTH * median).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.where((balls > 0) & (half_width > LOOP_WIDTH * median), 0, ink).astype(np.uint8)


def ends_in_ball(stroke: NDArray[np.float32]) -> bool:
    """Return whether the last end of a stroke (N, 3) is thicker than a pen would leave it."""
    return len(stroke) > BALL_REACH and bool(stroke[-BALL_REACH:, 2].max() > BALL_END_WIDTH)


def loop_end(stroke: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace the ball at the last end of a stroke (N, 3) by a loop, as a pen draws it."""
    tip, before = stroke[-1], stroke[-1 - BALL_REACH]
    start = np.arctan2(*(before[:2] - tip[:2])[::-1])
    angles = start + np.linspace(0.3, 2 * np.pi, 9)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) * LOOP_RADIUS + tip[:2]
    loop = np.column_stack([circle, np.ones(len(circle))]).astype(np.float32)
    return np.concatenate([stroke[: -BALL_REACH // 2], loop])
