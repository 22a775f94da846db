"""Images as people have them, any format, size and colour depth, as one plane of gray."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from okkhor.errors import InputError

Photo = str | Path | Image.Image | NDArray[Any]
"""A path, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or float 0 to 1."""

DRAFT_SIDE = 2000  # pixels; a larger JPEG is decoded at a half, a quarter or an eighth, not below this


def read_photo(photo: Photo) -> NDArray[np.uint8]:
    """(H, W) uint8 gray, turned as the camera was held, what is transparent white.

    Raises InputError for what is no image, an image that is cut off, and one of more than 89 million pixels.
    """
    if isinstance(photo, np.ndarray):
        return _flatten(_to_image(photo))
    if isinstance(photo, Image.Image):
        return _flatten(photo)
    path = Path(photo)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))
                return _flatten(image)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such image.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image that Pillow can read. Save it as PNG or JPEG.") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels. Make it smaller first.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's decoders raise all of these
        raise InputError(f"{path}: can't be read as an image: {error}. Save it anew, or take the original.") from error


def describe_photo(photo: Photo) -> str:
    """What messages call it."""
    return str(photo) if isinstance(photo, str | Path) else "the image"


def _flatten(image: Image.Image) -> NDArray[np.uint8]:
    if min(image.size) == 0:
        raise InputError(f"the image is empty: {image.width} x {image.height} pixels.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours)
    return np.asarray(image.convert("L"))


def _to_image(pixels: NDArray[Any]) -> Image.Image:
    is_plane = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if not is_plane or 0 in pixels.shape:
        raise InputError(f"the image has the shape {pixels.shape}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(_to_bytes(pixels))


def _to_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Any depth -> uint8. 32-bit integers are Pillow's way to hold 16 bits."""
    if pixels.dtype == np.uint8:
        return pixels
    highest = {"b": 1, "u": 65535, "i": 65535, "f": 1}.get(pixels.dtype.kind)
    values = np.asarray(pixels, np.float64) if highest else np.zeros(0)
    if highest is None or not np.isfinite(values).all() or values.min() < 0 or values.max() > highest:
        raise InputError(
            f"the image is {pixels.dtype} with values out of range: expected uint8, uint16, bool, or float from 0 to 1."
        )
    return np.round(values * (255 / highest)).astype(np.uint8)
