"""Ink on paper: from pen points to the gray image that a scanner would give."""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.hands import Hand
from okkhor.rendering.strokes import Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

FINENESS = 3  # canvas pixels per image pixel: lines get smooth edges and a width in thirds of a pixel
BLUR_REACH = 3  # pixels around the ink that the scanner's blur may darken
DOT_RADIUS = 0.65  # of the pen's width: a dot is pressed a little wider than a line
PALEST = 140  # gray level of the palest ink


def draw_image(strokes: Sequence[Points], hand: Hand, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The image (IMAGE_HEIGHT, IMAGE_WIDTH) uint8 of strokes, each (N, 3): x, y and the pen's width in pixels."""
    image = draw_paper(hand, generator)
    rows, columns = ink_box(strokes)
    coverage = cv2.GaussianBlur(draw_strokes(strokes, rows, columns), (5, 5), hand["softness"])
    patches = generator.normal(hand["darkness"], 9, (3, 4))  # darker here and paler there
    ink = np.clip(cv2.resize(patches.astype(np.float32), coverage.shape[::-1]), 0, PALEST)
    paper = image[rows, columns].astype(np.float32)
    image[rows, columns] = np.rint(paper + coverage * (ink - paper))
    if generator.random() < hand["scraps"]:
        draw_scraps(image, hand, generator)
    return image


def draw_paper(hand: Hand, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Blank paper (IMAGE_HEIGHT, IMAGE_WIDTH) uint8 with normal noise, by a table: 9 times faster than drawn."""
    grays = np.clip(np.rint(hand["paper"] + hand["grain"] * normal_quantiles()), 0, 255).astype(np.uint8)
    noise = np.frombuffer(generator.bytes(IMAGE_HEIGHT * IMAGE_WIDTH), np.uint8).reshape(IMAGE_HEIGHT, IMAGE_WIDTH)
    return np.asarray(cv2.LUT(noise, grays), np.uint8)


@cache
def normal_quantiles() -> NDArray[np.float64]:
    """256 values, each as likely as the others, that together are normally distributed."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((rank + 0.5) / 256) for rank in range(256)])


def ink_box(strokes: Sequence[Points]) -> tuple[slice, slice]:
    """The rows and columns of the image that the ink reaches."""
    points = np.concatenate(strokes)
    reach = points[:, 2].max() + BLUR_REACH
    left, top = np.floor(points[:, :2].min(axis=0) - reach).astype(int)
    right, bottom = np.ceil(points[:, :2].max(axis=0) + reach).astype(int)
    return slice(max(top, 0), min(bottom, IMAGE_HEIGHT)), slice(max(left, 0), min(right, IMAGE_WIDTH))


def draw_strokes(strokes: Sequence[Points], rows: slice, columns: slice) -> NDArray[np.float32]:
    """How much of each pixel in these rows and columns the ink covers: float32, 0 to 1."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    canvas = np.zeros((height * FINENESS, width * FINENESS), np.uint8)
    for stroke in strokes:
        points = np.rint((stroke[:, :2] - (columns.start, rows.start)) * FINENESS).astype(int).tolist()
        widths = np.maximum(np.rint(stroke[:, 2] * FINENESS), 1).astype(int).tolist()
        if len(points) == 1:
            cv2.circle(canvas, points[0], max(round(widths[0] * DOT_RADIUS), 1), 255, -1)
        for start, end, pen in zip(points, points[1:], widths, strict=False):
            cv2.line(canvas, start, end, 255, pen)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


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
