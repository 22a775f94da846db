"""Changes of one image that Albumentations measures in pixels or does otherwise: here, shares of the image's size.

So strength 1 looks alike at 32 and at 224 pixels. All take an image (H, W) uint8 with bright ink on 0, a strength from
0, and the generator of all their randomness, and return the same shape and type.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

ELASTIC_POINTS, ELASTIC_SIGMA = 29, 4  # Simard's images had 29 pixels; displacements are smoothed over 4 of them
ELASTIC_ALPHA = 15.0  # of those pixels; Simard's 34 is for digits, whose parts are larger than a vowel sign's


def bend(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Elastic distortion: smooth random displacements, Simard et al. 2003, "Best practices for CNNs"."""
    height, width = image.shape
    noise = generator.uniform(-1, 1, (ELASTIC_POINTS, ELASTIC_POINTS, 2))
    smooth = cv2.GaussianBlur(noise, (0, 0), ELASTIC_SIGMA) * (ELASTIC_ALPHA * strength / ELASTIC_POINTS)
    shifts = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    rows, columns = np.indices(image.shape, dtype=np.float32)
    return cv2.remap(image, columns + shifts[..., 0] * width, rows + shifts[..., 1] * height, cv2.INTER_LINEAR)


STRETCH_PARTS = 4  # across the image, and down
STRETCH = 0.3  # of a part's width, more or less, before all are fitted into the image again


def stretch(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Grid distortion: parts of the glyph wider or higher, the others narrower or lower in return."""
    maps = []
    for length in image.shape:
        widths = np.exp(generator.uniform(-1, 1, STRETCH_PARTS) * STRETCH * strength)
        edges = np.append(0, widths.cumsum() / widths.sum()) * (length - 1)
        there = np.interp(np.arange(length), np.linspace(0, length - 1, STRETCH_PARTS + 1), edges)
        maps.append(there.astype(np.float32))
    rows, columns = np.meshgrid(*maps, indexing="ij")
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR)


THICKER, THINNER = 0.03, 0.012  # of the image's height, added to or taken from a stroke's width, at most


def change_pen(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Thicker or thinner strokes: dilation or erosion, blended so that the width need not be whole pixels."""
    change = generator.uniform(-THINNER, THICKER) * strength * image.shape[0]  # pixels
    morph = cv2.dilate if change > 0 else cv2.erode
    whole = int(abs(change))
    share = abs(change) - whole
    less, more = (morph(image, np.ones((size, size), np.uint8)) for size in (whole + 1, whole + 2))
    return cv2.addWeighted(less, 1 - share, more, share, 0)


def blur(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """A scanner out of focus, a marker on thin paper."""
    sigma = generator.uniform(0.5, 1) * 0.014 * strength * image.shape[0]  # pixels
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3))


GRID_UNITS = (3.0, 6.0)  # across the image
GRID_HOLE = 0.4  # of a unit's side: 16 % is hidden, the paper's best share


def mask_grid(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Holes of paper in a regular grid, which hide no whole glyph: GridMask, Chen et al. 2020, arXiv:2001.04086."""
    unit = image.shape[0] / generator.uniform(*GRID_UNITS)  # pixels
    hole = min(GRID_HOLE * strength, 0.8) * unit
    rows, columns = (
        (np.arange(length) + generator.uniform(0, unit)) % unit < hole for length in (image.shape[0], image.shape[1])
    )
    return np.where(rows[:, None] & columns, np.uint8(0), image)
