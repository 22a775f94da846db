"""`read_photo` reads an image of any format, size and colour depth as gray; `scan_photo` makes a scan of it.

A scan looks like the competition's images: 137 x 236 pixels, dark ink on white paper.
"""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from okkhor.errors import InputError
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM", "JPEG2000")
"""The formats that people use. Pillow knows forty, but EPS starts another program, and old ones are hardly tested."""
MOST_PIXELS = 50_000_000  # decoded; a few copies of them with colour and transparency take a gigabyte
DRAFT_SIDE = 1200  # pixels; a larger JPEG is decoded at a half, a quarter or an eighth of its size, not below this
HIGHEST = {"b": 1, "u": 65535, "i": 65535, "f": 1}  # white, by kind of dtype; Pillow holds 16 bits in int32
WHITE = 255

SMALLEST_SIDE = 16  # pixels
WORKING_SIDE = 600  # pixels; larger photos are shrunk until their longer side has this length
LEAST_CONTRAST = 24  # gray levels of WHITE between ink and paper; a pencil has 60, the grain of a blank sheet 10
EVEN = 3  # gray levels: half of the paper's pixels differ less than this if it was scanned or drawn, not photographed
PAPER_REACH = 0.4  # of the longer side: in a square of this size most is paper
STROKE_REACH = 0.2  # of the longer side: strokes are narrower, the dark areas of a photo wider
SPECK = 0.005  # of all ink: a smaller component is no ink; the smallest dots of rendered letters have 0.007
MAIN_COMPONENT = 0.05  # of all ink: components from this size on tell how dark the ink is
SHADOW = 0.8  # of that darkness; what is left of the edges of shadows is paler
EDGE = 2  # pixels around the ink, as it fades into the paper
INK_HEIGHT, INK_WIDTH = 92, 184  # pixels: the median height of the ink in the 12 public test images, and twice that
INK_LEVEL = 30  # gray level of the ink; its darkest tenth has 34 in these images

Photo = str | Path | BytesIO | Image.Image | NDArray[Any]
"""A path, a file's content, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or float
from 0 to 1."""


def read_photo(photo: Photo, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Read a photo as (H, W) uint8 gray, turned as the camera was held.

    Transparent pixels become white, or black where all that is visible is bright: white ink.

    Raises InputError if it is no image, is cut off, or has more than `most_pixels` pixels (by its header).
    """
    name = describe_photo(photo)
    if isinstance(photo, Image.Image):
        return _to_gray(photo, most_pixels, name)
    if isinstance(photo, np.ndarray):
        return _to_gray(Image.fromarray(_to_bytes(photo, name)), photo.size, name)
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of doubtful metadata, and of many pixels, counted here
            with Image.open(photo, formats=[known for known in FORMATS if known in Image.OPEN]) as image:
                image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
                return _to_gray(image, most_pixels, name)
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such image.") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image in a known format. Save it as PNG or JPEG.") from None
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
        raise InputError(
            f"{name}: can't be read ({error}). Save it as PNG or JPEG, at most {most_pixels:,} pixels."
        ) from error


def describe_photo(photo: Photo) -> str:
    """The name of a photo in messages."""
    return str(photo) if isinstance(photo, str | Path) else "the image"


def _to_gray(image: Image.Image, most_pixels: int, name: str) -> NDArray[np.uint8]:
    size = f"{image.width:,} x {image.height:,} pixels"
    if 0 in image.size:
        raise InputError(f"{name}: empty, {size}.")
    if image.width * image.height > most_pixels:
        raise InputError(f"{name}: {size}, expected at most {most_pixels:,} in all. Make it smaller.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_bytes(np.asarray(image), name))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        visible = np.asarray(image.convert("L"))[np.asarray(image)[:, :, 3] > 0]
        is_ink = 0 < visible.size < image.width * image.height / 2  # paper would fill more
        has_white_ink = is_ink and np.percentile(visible, 1) > WHITE / 2
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if has_white_ink else "white"), image)
    return np.asarray(image.convert("L"))


def _to_bytes(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    is_plane = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if not is_plane or pixels.size == 0:
        raise InputError(f"{name}: an array of shape {pixels.shape}, expected (H, W), (H, W, 3) or (H, W, 4).")
    pixels = pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels
    if pixels.dtype == np.uint8:
        return pixels
    highest = HIGHEST.get(pixels.dtype.kind)
    if highest is None or not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= highest):
        raise InputError(f"{name}: {pixels.dtype} out of range, expected uint8, uint16, bool, or float from 0 to 1.")
    return np.round(pixels * (WHITE / highest)).astype(np.uint8)


def scan_photo(photo: NDArray[np.uint8], name: str = "the image") -> NDArray[np.uint8]:
    """(H, W) uint8 gray -> (137, 236) uint8. A photo that looks like the competition's images is returned unchanged.

    name: the photo's name, for the InputError if there is nothing to recognize.
    """
    height, width = photo.shape
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"{name}: {width} x {height} pixels, expected {SMALLEST_SIDE} or more in each direction.")
    scale = WORKING_SIDE / max(photo.shape)
    flat = _flatten_paper(_resize(photo, scale) if scale < 1 else photo)
    inked = _find_ink(flat)
    contrast = float(flat[~inked].mean() - flat[inked].mean()) if inked.any() else 0.0
    if contrast < LEAST_CONTRAST:
        raise InputError(
            f"{name}: no ink found on the paper (contrast {contrast:.0f} of {WHITE}, expected {LEAST_CONTRAST}). "
            "Write darker, or go nearer."
        )
    if photo.shape == (IMAGE_HEIGHT, IMAGE_WIDTH) and _find_even_paper(photo) is not None and np.median(photo) > 127:
        return photo
    kept = _drop_shadows(flat, inked)
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    box = flat[max(rows[0] - EDGE, 0) : rows[-1] + EDGE + 1, max(columns[0] - EDGE, 0) : columns[-1] + EDGE + 1]
    return _place(box)


def _resize(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(length * scale)) for length in image.shape)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _find_ink(flat: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The darker of two classes of pixels (Otsu), or no pixel if all are alike."""
    threshold, _ = cv2.threshold(flat, 0, WHITE, cv2.THRESH_OTSU)
    inked = flat <= threshold
    return np.zeros_like(inked) if inked.all() else inked


def _find_even_paper(photo: NDArray[np.uint8]) -> float | None:
    """The paper's gray level if it is the same everywhere, else None."""
    paper = photo[~_find_ink(photo)]
    level = float(np.median(paper))
    return level if np.median(np.abs(paper - level)) < EVEN else None


def _flatten_paper(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Divide the photo by the paper's own brightness: paper becomes WHITE, ink its share of that.

    A median is the paper's brightness where ink fills less than half of the square, and keeps the edge of a shadow
    sharp. Strokes are few pixels, far from that median: if they are the brighter ones (chalk on a board), the cubes of
    the differences add up to more than 0, and the photo is inverted.
    """
    paper = cv2.medianBlur(photo, round(max(photo.shape) * PAPER_REACH) | 1)  # an odd side
    if ((photo.astype(np.float32) - paper) ** 3).sum() > 0:
        photo, paper = cv2.bitwise_not(photo), cv2.bitwise_not(paper)
    level = _find_even_paper(photo)
    if level is not None:
        return cv2.convertScaleAbs(photo, alpha=WHITE / max(level, 1))
    side = round(max(photo.shape) * STROKE_REACH) | 1  # odd
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    paper = np.minimum(paper, cv2.morphologyEx(photo, cv2.MORPH_CLOSE, square))
    return cv2.divide(photo, np.maximum(paper, 1), scale=WHITE)


def _drop_shadows(flat: NDArray[np.uint8], inked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Remove specks from the ink, and components that touch the border and are paler than the rest."""
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(inked.astype(np.uint8), connectivity=8)
    areas = np.asarray(boxes)[:, cv2.CC_STAT_AREA]
    darkness = WHITE - np.bincount(numbers.ravel(), flat.ravel()) / areas
    shares = areas / inked.sum()
    shares[0] = 0  # the paper
    kept = shares >= min(SPECK, shares.max())
    main = shares >= min(MAIN_COMPONENT, shares.max())
    border = np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]))
    kept[border] &= darkness[border] >= SHADOW * darkness[main].max()
    return np.asarray(kept[numbers])


def _place(box: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put the ink in the middle of white paper, as large and dark as the competition's, in its own proportions."""
    small = _resize(box, min(INK_HEIGHT / box.shape[0], INK_WIDTH / box.shape[1]))
    inked = _find_ink(small)
    ink = float(np.median(small[inked] if inked.any() else small))
    small = np.clip(WHITE - (WHITE - small.astype(np.float32)) * (WHITE - INK_LEVEL) / (WHITE - ink), 0, WHITE)
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), WHITE, np.uint8)
    top, left = (IMAGE_HEIGHT - small.shape[0]) // 2, (IMAGE_WIDTH - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = np.round(small)
    return image
