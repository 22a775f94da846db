"""From a photo of one grapheme to an image as the competition's: 137 x 236, dark ink on white paper.

The paper's own brightness is divided out, which takes shadows away; what is darker than halfway is ink; it is cut out
and made as large as the ink of the competition's images.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.data.pixels import drop_scraps
from okkhor.errors import InputError
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

WHITE = 255
WORKING_SIDE = 600  # pixels, the longer side that larger photos are shrunk to
SMALLEST_SIDE = 16  # pixels
STROKE_REACH = 0.2
PAPER_REACH = 0.4  # of the longer side: in a square of this size most is paper
LEAST_CONTRAST = 24  # gray levels between ink and paper; a blank sheet's grain has 5 to 10
EDGE = 2
LARGE = 0.05
PALE = 0.8
SPECK = 0.003  # of all ink; the dot of র has ten times as much
INK_HEIGHT, INK_WIDTH = 92, 184  # pixels: the median height of the ink in the public test images, and twice that
INK_LEVEL = 30  # gray level that ink is given; its darkest tenth has 34 in the public test images


def scan_photo(photo: NDArray[np.uint8], name: str = "the image") -> NDArray[np.uint8]:
    """(H, W) uint8 gray -> (IMAGE_HEIGHT, IMAGE_WIDTH) uint8. What is as the competition's already stays as it is.

    name: of the photo, for the InputError where there is nothing to read.
    """
    if min(photo.shape) < SMALLEST_SIDE:
        raise InputError(
            f"{name}: {photo.shape[1]} x {photo.shape[0]} pixels are too few, expected {SMALLEST_SIDE} each way at least."
        )
    photo = shrink(photo, WORKING_SIDE)
    flat = flatten_paper(photo)
    threshold, _ = cv2.threshold(flat, 0, WHITE, cv2.THRESH_OTSU)
    inked = flat <= threshold
    paper, ink = float(np.median(flat[~inked])), float(np.median(flat[inked]))
    if paper - ink < LEAST_CONTRAST:
        raise InputError(
            f"{name}: blank, there is no ink on the paper (contrast {paper - ink:.0f} of 255, expected {LEAST_CONTRAST})."
        )
    if photo.shape == (IMAGE_HEIGHT, IMAGE_WIDTH):
        return photo
    return place(cut_out(flat, inked))


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The longer side at most `side` pixels."""
    scale = side / max(image.shape)
    return resize(image, scale) if scale < 1 else image


def resize(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(length * scale)) for length in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def flatten_paper(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with the paper's own brightness divided out: paper WHITE, ink as dark as its share of that.

    A median is the paper as long as ink fills less than half of what it sees, and keeps the edge of a shadow sharp.
    Strokes are few and far from the median: if they are brighter (chalk on a board), the cubes of the differences
    add up to more than 0, and the photo is inverted.
    """
    paper = cv2.medianBlur(photo, round(max(photo.shape) * PAPER_REACH) | 1)
    difference = photo.astype(np.float32) - paper
    if (difference**3).sum() > 0:
        photo, paper = cv2.bitwise_not(photo), cv2.bitwise_not(paper)
    reach = round(max(photo.shape) * STROKE_REACH) | 1
    closed = cv2.morphologyEx(photo, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach)))
    paper = np.minimum(paper, closed)
    return cv2.divide(photo, np.maximum(paper, 1), scale=WHITE)


def cut_out(flat: NDArray[np.uint8], inked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The ink's box, without specks and what lies at the border."""
    inked = drop_scraps(drop_specks(flat, inked))
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return flat[max(rows[0] - EDGE, 0) : rows[-1] + EDGE + 1, max(columns[0] - EDGE, 0) : columns[-1] + EDGE + 1]


def drop_specks(flat: NDArray[np.uint8], inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ink without small parts, and without those at the border that are paler than the rest: edges of shadows."""
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(inked.astype(np.uint8), connectivity=8)
    areas = np.asarray(boxes)[:, cv2.CC_STAT_AREA]
    darkness = WHITE - np.bincount(numbers.ravel(), flat.ravel()) / areas
    large = areas >= LARGE * inked.sum()
    large[0] = False
    edge = np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]))
    kept = areas >= SPECK * inked.sum()
    if large.any():
        kept[edge] &= darkness[edge] > PALE * darkness[large].max()
    kept[0] = False  # the paper
    return np.asarray(kept[numbers])


def place(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """In the middle of white paper, as large and as dark as the competition's ink, its proportions kept."""
    small = resize(cut, min(INK_HEIGHT / cut.shape[0], INK_WIDTH / cut.shape[1]))
    threshold, _ = cv2.threshold(small, 0, WHITE, cv2.THRESH_OTSU)
    dark = float(np.median(small[small <= threshold]))
    stretched = np.clip((small - dark) * ((WHITE - INK_LEVEL) / (WHITE - dark)) + INK_LEVEL, 0, WHITE)
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), WHITE, np.uint8)
    top, left = (IMAGE_HEIGHT - small.shape[0]) // 2, (IMAGE_WIDTH - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = stretched.astype(np.uint8)
    return image
