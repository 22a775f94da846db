"""Images as people have them, of any format, size and colour depth, as one plane of gray."""

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

Photo = str | Path | BytesIO | Image.Image | NDArray[Any]
"""A path, a file's content, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or float
from 0 to 1."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM", "JPEG2000")
"""Those that people have images in. Pillow knows forty: EPS starts another program, old ones are rarely tried."""

MOST_PIXELS = 50_000_000  # decoded: a few copies of them, with colour and transparency, take a gigabyte
DRAFT_SIDE = 1200  # pixels; a larger JPEG is decoded at a half, a quarter or an eighth of its size, not below this
WHITE = 255
HIGHEST = {"b": 1, "u": 65535, "i": 65535, "f": 1}
"""White, by the kind of number; Pillow holds 16 bits in integers of 32."""


def read_photo(photo: Photo, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """(H, W) uint8 gray, turned as the camera was held; what is transparent is white.

    Raises InputError for what is no image, one that is cut off, and one of more pixels than that: by its header.
    """
    name = describe_photo(photo)
    if isinstance(photo, Image.Image):
        _check_size(photo, most_pixels, name)
        return _flatten(photo, name)
    if isinstance(photo, np.ndarray):
        return _flatten(Image.fromarray(_to_bytes(_check_shape(photo, name), name)), name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful metadata, and of many pixels, which are counted here
            with Image.open(photo, formats=_known_formats()) as image:
                image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
                _check_size(image, most_pixels, name)
                return _flatten(image, name)
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such image.") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image of a kind that is read here. Save it as PNG or JPEG.") from None
    except Image.DecompressionBombError:  # of any format, twice as many as Image.MAX_IMAGE_PIXELS
        raise InputError(f"{name}: more than {most_pixels:,} pixels. Make it smaller.") from None
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
        raise InputError(f"{name}: can't be read as an image ({error}). Take the original, or save it anew.") from error


def describe_photo(photo: Photo) -> str:
    """What messages call it."""
    return str(photo) if isinstance(photo, str | Path) else "the image"


def _known_formats() -> list[str]:
    """Those that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _check_size(image: Image.Image, most: int, name: str) -> None:
    if image.width * image.height > most:
        size = f"{image.width:,} x {image.height:,}"
        raise InputError(f"{name}: {size} pixels, at most {most:,} in all are read. Make it smaller.")


def _flatten(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if 0 in image.size:
        raise InputError(f"{name}: empty, {image.width} x {image.height} pixels.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_bytes(np.asarray(image), name))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("L"))


def _check_shape(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    is_plane = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if not is_plane or pixels.size == 0:
        raise InputError(f"{name}: an array of shape {pixels.shape}, expected (H, W), (H, W, 3) or (H, W, 4).")
    return pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels


def _to_bytes(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    highest = HIGHEST.get(pixels.dtype.kind)
    if highest is None or not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= highest):
        raise InputError(
            f"{name}: pixels of {pixels.dtype}, not all of them in the range of an image. "
            "Expected uint8, uint16, bool, or float from 0 to 1."
        )
    return np.round(pixels * (WHITE / highest)).astype(np.uint8)


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
