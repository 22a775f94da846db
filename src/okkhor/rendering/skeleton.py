"""Thinning of ink to lines one pixel wide: Zhang and Suen 1984, doi:10.1145/357994.358023."""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT

CLOCKWISE = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
"""(row, column) in a 3 x 3 window of the neighbours P2 to P9 of the paper, from the one above on."""


def thin(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The skeleton (H, W) uint8, 0 or 1, of ink (H, W) uint8, 0 or 1, with paper at its edges; no piece is lost."""
    weights = np.zeros((3, 3), np.uint8)
    for bit, place in enumerate(CLOCKWISE):
        weights[place] = 1 << bit
    left, before = ink.copy(), -1
    while (now := cv2.countNonZero(left)) != before:
        before = now
        for keep in tables_of_what_stays():
            left &= cv2.LUT(cv2.filter2D(left, -1, weights), keep)
    number, pieces, _, middles = cv2.connectedComponentsWithStats(ink)
    for dot in set(range(1, number)) - set(np.asarray(pieces)[left > 0].tolist()):  # the rounds take 2 x 2 pixels away
        column, row = np.rint(middles[dot]).astype(int)
        left[row, column] = 1
    return left


@cache
def tables_of_what_stays() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For the two halves of a round, whether a pixel with a given byte of neighbours stays: (256,) uint8 each."""
    tables = np.ones((2, 256), np.uint8)
    for code in range(256):
        up_to_right = [code >> bit & 1 for bit in range(8)]
        up, _, right, _, down, _, left, _ = up_to_right
        edges = sum(second > first for first, second in pairwise([*up_to_right, up]))
        if 2 <= sum(up_to_right) <= 6 and edges == 1:
            tables[0, code] = (up and right and down) or (right and down and left)
            tables[1, code] = (up and right and left) or (up and down and left)
    return tables[0], tables[1]


BALL_WIDTH = 2.15  # times the median half-width: ink is 1.9 times as wide where strokes meet, 2.2 to 2.9 in a ball
LOOP_WIDTH = 1.3  # times the median half-width, that is left around the hole in a ball
BALL_END_WIDTH = 1.45  # times the median half-width: a stroke's end that is thicker is a ball
BALL_REACH = 3  # points from the end on
LOOP_RADIUS = 0.07  # letter bodies, of the loop that is drawn for such a ball
HOLE_SIZE = 0.3  # letter bodies, width and height of a small loop's inside at most


def find_holes(ink: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """The middles (x, y) of the small holes in the ink (H, W), in pixels."""
    _, _, boxes, centroids = cv2.connectedComponentsWithStats(1 - ink, connectivity=4)
    sizes = np.asarray(boxes)[:, 2:4].max(axis=1)
    return [tuple(centre) for centre in np.asarray(centroids)[sizes < HOLE_SIZE * BODY_HEIGHT].tolist()]


def ends_in_ball(stroke: NDArray[np.float32]) -> bool:
    """Whether the last end of a stroke (N, 3) is thicker than a pen would leave it: a printed ball."""
    return len(stroke) > BALL_REACH and bool(stroke[-BALL_REACH:, 2].max() > BALL_END_WIDTH)


def end_in_loop(stroke: NDArray[np.float32]) -> NDArray[np.float32]:
    """The stroke with a loop for the ball at its last end, as a pen draws it."""
    tip, before = stroke[-1], stroke[-1 - BALL_REACH]
    start = np.arctan2(*(before[:2] - tip[:2])[::-1])
    angles = start + np.linspace(0.3, 2 * np.pi, 9)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) * LOOP_RADIUS + tip[:2]
    loop = np.column_stack([circle, np.ones(len(circle))]).astype(np.float32)
    return np.concatenate([stroke[: -BALL_REACH // 2], loop])


def hollow_balls(ink: NDArray[np.uint8], half_width: NDArray[np.float32], typical: float) -> NDArray[np.uint8]:
    """The ink (H, W) with a hole in each ball of a printed শ, ম or ক্ষ, where a pen draws a loop."""
    reach = 2 * round(BALL_WIDTH * typical) + 1
    balls = cv2.dilate((half_width > BALL_WIDTH * typical).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.where((balls > 0) & (half_width > LOOP_WIDTH * typical), 0, ink).astype(np.uint8)
