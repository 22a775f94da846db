"""From a scanned image to what the network sees: ink bright on 0, at the training size."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 48  # of 255; paper noise and faint lines stay under it
SCRAP_REACH = 8  # pixels from the border: ink that lies in there whole is a form's line or a speck
MIN_INK_PIXELS = 2  # in a row or column; one alone is a speck
MARGIN = 0.06  # of the ink's height and width, kept as paper around it


def prepare_images(images: NDArray[np.uint8], size: int, crop_to_ink: bool) -> NDArray[np.uint8]:
    """(N, H, W) uint8 scans -> (N, size, size) uint8, each by prepare_image; a thread for each core."""
    prepared = np.empty((len(images), size, size), np.uint8)
    cv2.setNumThreads(0)  # its own would fight with these for the same cores

    def prepare(numbers: NDArray[np.int64]) -> None:
        for number in numbers:
            prepare_image(images[number], size, crop_to_ink, into=prepared[number])

    num_threads = min(len(os.sched_getaffinity(0)), len(images))
    with ThreadPoolExecutor(num_threads) as threads:  # OpenCV lets go of Python's lock
        list(threads.map(prepare, np.array_split(np.arange(len(images)), num_threads)))
    return prepared


def prepare_image(
    image: NDArray[np.uint8], size: int, crop_to_ink: bool, into: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(H, W) uint8, dark ink on white paper -> (size, size) uint8, bright ink on 0. into: where, else new memory."""
    ink = cv2.bitwise_not(image)
    if crop_to_ink:
        ink = crop(ink)
    shrinks = ink.shape[0] >= size and ink.shape[1] >= size
    # area averages all pixels that fall into one; linear would skip thin strokes when it shrinks
    return cv2.resize(ink, (size, size), into, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def crop(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of (H, W) uint8 that has ink, with a margin; the whole where there is hardly any."""
    inked = drop_scraps(ink > INK_THRESHOLD)
    top, bottom = _span(inked.sum(axis=1), ink.shape[0])
    left, right = _span(inked.sum(axis=0), ink.shape[1])
    return ink[top:bottom, left:right]


def drop_scraps(inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) without the ink that lies whole at the border; as it is where there is no other."""
    reach = SCRAP_REACH
    edges = (inked[:reach], inked[-reach:], inked[:, :reach], inked[:, -reach:])
    if not any(edge.any() for edge in edges):  # most images; the rest takes 8 times as long as the whole crop
        return inked
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(inked.astype(np.uint8), connectivity=8)
    left, top, width, height, _ = np.asarray(boxes).T
    right, bottom = inked.shape[1] - left - width, inked.shape[0] - top - height
    kept = (np.minimum(left, right) + width > reach) & (np.minimum(top, bottom) + height > reach)
    kept[0] = False  # the paper
    return np.asarray(kept[numbers]) if kept.any() else inked


def _span(counts: NDArray[np.int64], length: int) -> tuple[int, int]:
    places = np.flatnonzero(counts >= MIN_INK_PIXELS)
    if len(places) < 2:
        return 0, length
    first, last = int(places[0]), int(places[-1]) + 1
    margin = round((last - first) * MARGIN) + 1  # pixels
    return max(first - margin, 0), min(last + margin, length)
