"""Images as people have them, of any format, size and colour depth, as one plane of gray."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from okkhor.errors import InputError

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
