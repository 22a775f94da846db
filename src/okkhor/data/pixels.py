"""`prepare_image` turns a scan into the network's input: bright ink on 0, at the training size."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 48  # of 255; paper noise and faint lines are below it
SCRAP_REACH = 8  # pixels from the border: ink that lies entirely within them is a line of the form or a speck
MIN_INK_PIXELS = 2  # in a row or column; a single one is a speck
MARGIN = 0.06  # of the ink's height and width, kept as paper around it


def prepare_images(images: NDArray[np.uint8], size: int, crop_to_ink: bool) -> NDArray[np.uint8]:
    """Prepare (N, H, W) uint8 scans as prepare_image does, with a thread for each core: (N, size, size) uint8."""
    prepared = np.empty((len(images), size, size), np.uint8)
    cv2.setNumThreads(0)  # OpenCV's own threads would compete with these for the cores

    def prepare(numbers: NDArray[np.int64]) -> None:
        for number in numbers:
            prepare_image(images[number], size, crop_to_ink, into=prepared[number])

    num_threads = min(len(os.sched_getaffinity(0)), len(images))
    with ThreadPoolExecutor(num_threads) as threads:  # OpenCV releases Python's lock
        list(threads.map(prepare, np.array_split(np.arange(len(images)), num_threads)))
    return prepared


def prepare_image(
    image: NDArray[np.uint8], size: int, crop_to_ink: bool, into: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(H, W) uint8, dark ink on white paper -> (size, size) uint8, bright ink on 0, written to `into` if given."""
    ink = cv2.bitwise_not(image)
    if crop_to_ink:
        ink = crop(ink)
    shrinks = ink.shape[0] >= size and ink.shape[1] >= size
    # area averages all pixels that become one; linear would skip thin strokes when it shrinks
    return cv2.resize(ink, (size, size), into, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def crop(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut (H, W) uint8 to its ink with a margin; leave it whole where there is hardly any ink."""
    inked = drop_scraps(ink > INK_THRESHOLD)
    top, bottom = _span(inked.sum(axis=1), ink.shape[0])
    left, right = _span(inked.sum(axis=0), ink.shape[1])
    return ink[top:bottom, left:right]


def drop_scraps(inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Remove ink that lies entirely at the border from (H, W), unless there is no other ink."""
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
    """counts: (length,), the inked pixels of each row -> the first row and the end of the ink with its margin."""
    places = np.flatnonzero(counts >= MIN_INK_PIXELS)
    if len(places) < 2:
        return 0, length
    first, last = int(places[0]), int(places[-1]) + 1
    margin = round((last - first) * MARGIN) + 1  # pixels
    return max(first - margin, 0), min(last + margin, length)
