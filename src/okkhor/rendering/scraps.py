"""What a scan has beside the letter, at its border: a line of the form, ink of a neighbour."""

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.writers import Hand

REACH = 7  # pixels from the border
LENGTHS = (0.1, 1.0)  # of the side, of a form's line
NEIGHBOUR = (2, 14)  # pixels, of a neighbour's stroke
PALENESS = (0, 120)  # gray levels by which a form's line is paler than the hand's ink
MOST = 3


def draw_scraps(image: NDArray[np.uint8], hand: Hand, generator: np.random.Generator) -> None:
    """One to MOST scraps into an image (H, W) uint8, in place."""
    for _ in range(int(generator.integers(1, MOST + 1))):
        side = int(generator.integers(4))  # top, left, bottom, right
        view = image.T if side % 2 else image
        view = view[::-1] if side > 1 else view
        canvas = view[: REACH + NEIGHBOUR[1]].copy()
        ink = hand["darkness"]
        length = canvas.shape[1]
        start = float(generator.uniform(0, length))
        if generator.random() < 0.5:
            stop = start + length * float(generator.uniform(*LENGTHS))
            first, last = generator.integers(0, REACH, 2).tolist()
            ink, thickness = ink + generator.uniform(*PALENESS), 1 + int(generator.random() < 0.3)
        else:
            first, last = 0, int(generator.integers(*NEIGHBOUR))
            stop = start + float(generator.normal(0, 10))
            thickness = max(round(hand["pen"]), 1)
        cv2.line(canvas, (round(start), first), (round(stop), last), int(ink), thickness, cv2.LINE_AA)
        view[: len(canvas)] = np.minimum(view[: len(canvas)], canvas)  # a pale line does not lighten the letter
