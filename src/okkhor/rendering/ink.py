"""From pen points to the gray image that a scanner would give: `draw_image`."""

from collections.abc import Sequence
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.hands import Habits
from okkhor.rendering.strokes import Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

FINENESS = 3  # canvas pixels per image pixel: lines get smooth edges and a width in thirds of a pixel
BLUR_REACH = 3  # pixels around the ink that the scanner's blur may darken
DOT_RADIUS = 0.65  # of the pen's width: a dot is pressed a little wider than a line
PALEST = 140  # gray level of the palest ink
QUANTILES = np.array([NormalDist().inv_cdf((rank + 0.5) / 256) for rank in range(256)])
"""Equally likely values of the standard normal distribution."""

# Scraps: ink at the border, a line of the form or a stroke of the neighbouring letter
MOST_SCRAPS = 3
FORM_REACH = 7  # pixels: a form's line is closer to the border
FORM_LENGTH = (0.1, 1.0)  # of the side
FORM_PALENESS = (0, 120)  # gray levels by which a form's line is paler than the hand's ink
NEIGHBOUR_REACH = (2, 14)  # pixels from the border to which a neighbour's stroke reaches


def draw_image(strokes: Sequence[Points], habits: Habits, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image (IMAGE_HEIGHT, IMAGE_WIDTH) uint8 of strokes, each (N, 3): x, y and pen's width in pixels."""
    grays = np.clip(np.rint(habits["paper"] + habits["grain"] * QUANTILES), 0, 255).astype(np.uint8)
    noise = np.frombuffer(generator.bytes(IMAGE_HEIGHT * IMAGE_WIDTH), np.uint8).reshape(IMAGE_HEIGHT, IMAGE_WIDTH)
    image = np.asarray(cv2.LUT(noise, grays), np.uint8)  # paper with normal noise, from a table: 9 times as fast
    rows, columns = ink_box(strokes)
    coverage = cv2.GaussianBlur(draw_strokes(strokes, rows, columns), (5, 5), habits["softness"])
    patches = generator.normal(habits["darkness"], 9, (3, 4))  # the ink is darker here and paler there
    ink = np.clip(cv2.resize(patches.astype(np.float32), coverage.shape[::-1]), 0, PALEST)
    paper = image[rows, columns].astype(np.float32)
    image[rows, columns] = np.rint(paper + coverage * (ink - paper))
    if generator.random() < habits["scraps"]:
        draw_scraps(image, habits, generator)
    return image


def ink_box(strokes: Sequence[Points]) -> tuple[slice, slice]:
    """Return the rows and columns of the image that the ink reaches."""
    points = np.concatenate(strokes)
    reach = points[:, 2].max() + BLUR_REACH
    left, top = np.floor(points[:, :2].min(axis=0) - reach).astype(int)
    right, bottom = np.ceil(points[:, :2].max(axis=0) + reach).astype(int)
    return slice(max(top, 0), min(bottom, IMAGE_HEIGHT)), slice(max(left, 0), min(right, IMAGE_WIDTH))


def draw_strokes(strokes: Sequence[Points], rows: slice, columns: slice) -> NDArray[np.float32]:
    """Return the share of each pixel in these rows and columns that ink covers, float32 from 0 to 1."""
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


def draw_scraps(image: NDArray[np.uint8], habits: Habits, generator: np.random.Generator) -> None:
    """Draw one to MOST_SCRAPS scraps into an image (H, W) uint8, in place."""
    for _ in range(int(generator.integers(1, MOST_SCRAPS + 1))):
        side = int(generator.integers(4))  # top, left, bottom, right
        turned = image.T if side % 2 else image
        turned = turned[::-1] if side > 1 else turned
        border = turned[: FORM_REACH + NEIGHBOUR_REACH[1]]
        canvas = border.copy()
        ink = habits["darkness"]
        length = canvas.shape[1]
        start = float(generator.uniform(0, length))
        if generator.random() < 0.5:
            stop = start + length * float(generator.uniform(*FORM_LENGTH))
            first, last = generator.integers(0, FORM_REACH, 2).tolist()
            ink, thickness = ink + generator.uniform(*FORM_PALENESS), 1 + int(generator.random() < 0.3)
        else:
            first, last = 0, int(generator.integers(*NEIGHBOUR_REACH))
            stop = start + float(generator.normal(0, 10))
            thickness = max(round(habits["pen"]), 1)
        cv2.line(canvas, (round(start), first), (round(stop), last), int(ink), thickness, cv2.LINE_AA)
        np.minimum(border, canvas, out=border)  # a pale line does not lighten the letter
