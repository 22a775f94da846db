"""Thinning of ink to lines one pixel wide: Zhang and Suen 1984, doi:10.1145/357994.358023."""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

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
