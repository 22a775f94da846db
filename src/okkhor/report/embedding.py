"""Images inside a page: no file beside it, nothing to fetch."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MARKED = np.array((255, 140, 0))  # what paper looks like where the network looks most; red, green, blue


def embed_ink(image: NDArray[np.uint8]) -> str:
    """(H, W) uint8, ink bright on 0 -> a data address, dark ink on white paper."""
    return _embed(255 - image)


def embed_attention(image: NDArray[np.uint8], attention: NDArray[np.float32]) -> str:
    """The same, its paper the more coloured the more the network looks there. attention: (H, W), 0 to 1."""
    paper = 255 + attention[..., None] * (MARKED - 255.0)
    ink = image[..., None] / 255
    return _embed(np.rint(paper * (1 - ink)).astype(np.uint8))


def _embed(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "webp", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
