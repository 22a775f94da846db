"""From a photo, scan or drawing of one grapheme to an image as the competition's: dark ink on white, 137 x 236.

The paper's own brightness is divided out, which takes shadows away; the ink is cut out and made as large and as dark as
the competition's. What it can't know: which of two graphemes, or of a letter and a ruled line, is meant.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

WHITE = 255
SMALLEST_SIDE = 16  # pixels
WORKING_SIDE = 600  # pixels, the longer side that larger photos are shrunk to
LEAST_CONTRAST = 24  # gray levels of WHITE between ink and paper; a pencil has 60, the grain of a blank sheet 10
EVEN = 3  # gray levels that half of the paper's pixels keep to, where it was scanned or drawn, not photographed
PAPER_REACH = 0.4  # of the longer side: in a square of this size most is paper
STROKE_REACH = 0.2  # of the longer side: strokes are narrower, the dark parts of a photo wider
SPECK = 0.005  # of all ink, below which a part of it is none; the smallest dots of rendered letters have 0.007
MAIN_PART = 0.05  # of all ink, from which a part of it says how dark the ink is
SHADOW = 0.8  # of that darkness; the edges of shadows that are left stay below it
EDGE = 2  # pixels around the ink, as it fades into the paper
INK_HEIGHT, INK_WIDTH = 92, 184  # pixels: the median height of the ink in the 12 public test images, and twice that
INK_LEVEL = 30  # gray level of the ink; its darkest tenth has 34 in these images


def scan_photo(photo: NDArray[np.uint8], name: str = "the image") -> NDArray[np.uint8]:
    """(H, W) uint8 gray -> (IMAGE_HEIGHT, IMAGE_WIDTH) uint8. What is as the competition's already stays as it is.

    name: of the photo, for the InputError where there is nothing to read.
    """
    height, width = photo.shape
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"{name}: {width} x {height} pixels are too few, expected {SMALLEST_SIDE} each way at least.")
    flat = flatten_paper(shrink(photo))
    inked = find_ink(flat)
    contrast = float(flat[~inked].mean() - flat[inked].mean()) if inked.any() else 0.0
    if contrast < LEAST_CONTRAST:
        raise InputError(
            f"{name}: no ink is seen on the paper (contrast {contrast:.0f} of {WHITE}, expected {LEAST_CONTRAST}). "
            "Write darker, or come nearer."
        )
    if photo.shape == (IMAGE_HEIGHT, IMAGE_WIDTH) and find_even_paper(photo) is not None and np.median(photo) > 127:
        return photo
    return place(cut_out(flat, inked))


def shrink(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = WORKING_SIDE / max(photo.shape)
    return resize(photo, scale) if scale < 1 else photo


def resize(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(length * scale)) for length in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def find_ink(flat: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The darker one of two classes; nothing where all is alike."""
    threshold, _ = cv2.threshold(flat, 0, WHITE, cv2.THRESH_OTSU)
    inked = flat <= threshold
    return np.zeros_like(inked) if inked.all() else inked


def find_even_paper(photo: NDArray[np.uint8]) -> float | None:
    """The paper's gray level where it is the same everywhere, else None."""
    paper = photo[~find_ink(photo)]
    level = float(np.median(paper))
    return level if np.median(np.abs(paper - level)) < EVEN else None


def flatten_paper(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with the paper's own brightness divided out: paper WHITE, ink as dark as its share of that.

    A median is the paper where ink fills less than half of what it sees, and keeps the edge of a shadow sharp. Strokes
    are few and far from it: where they are the brighter ones (chalk on a board), the cubes of the differences add up to
    more than 0, and the photo is inverted.
    """
    paper = cv2.medianBlur(photo, odd(max(photo.shape) * PAPER_REACH))
    if ((photo.astype(np.float32) - paper) ** 3).sum() > 0:
        photo, paper = cv2.bitwise_not(photo), cv2.bitwise_not(paper)
    level = find_even_paper(photo)
    if level is not None:
        return cv2.convertScaleAbs(photo, alpha=WHITE / max(level, 1))
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (odd(max(photo.shape) * STROKE_REACH),) * 2)
    paper = np.minimum(paper, cv2.morphologyEx(photo, cv2.MORPH_CLOSE, square))
    return cv2.divide(photo, np.maximum(paper, 1), scale=WHITE)


def odd(length: float) -> int:
    return round(length) | 1


def cut_out(flat: NDArray[np.uint8], inked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The ink's box, without what is none."""
    kept = drop_shadows(flat, inked)
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return flat[max(rows[0] - EDGE, 0) : rows[-1] + EDGE + 1, max(columns[0] - EDGE, 0) : columns[-1] + EDGE + 1]


def drop_shadows(flat: NDArray[np.uint8], inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ink without specks, and without what comes in from the border and is paler than the rest."""
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(inked.astype(np.uint8), connectivity=8)
    areas = np.asarray(boxes)[:, cv2.CC_STAT_AREA]
    darkness = WHITE - np.bincount(numbers.ravel(), flat.ravel()) / areas
    shares = areas / inked.sum()
    shares[0] = 0  # the paper
    kept = shares >= min(SPECK, shares.max())
    main = shares >= min(MAIN_PART, shares.max())
    border = np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]))
    kept[border] &= darkness[border] >= SHADOW * darkness[main].max()
    return np.asarray(kept[numbers])


def place(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """In the middle of white paper, as large and as dark as the competition's ink, its proportions kept."""
    small = resize(cut, min(INK_HEIGHT / cut.shape[0], INK_WIDTH / cut.shape[1]))
    inked = find_ink(small)
    ink = float(np.median(small[inked] if inked.any() else small))
    small = np.clip(WHITE - (WHITE - small.astype(np.float32)) * (WHITE - INK_LEVEL) / (WHITE - ink), 0, WHITE)
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), WHITE, np.uint8)
    top, left = (IMAGE_HEIGHT - small.shape[0]) // 2, (IMAGE_WIDTH - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = np.round(small)
    return image
