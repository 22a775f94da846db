"""Test-time augmentation: the mean of what a network says of an image and of slightly moved copies of it.

As Krizhevsky et al. 2012 average over ten crops of an image; but without flips, which turn a glyph into another. The
moves are about half of those that training draws at strength 1 (8 degrees, 12 %, 6 %: data/augmentation.py).
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from okkhor.training.device import Precision
from okkhor.training.loop import Batch, infer


class View(NamedTuple):
    """How an image is moved: turned and scaled about its centre, then shifted.

    angle: degrees, counter-clockwise as one sees it. scale: 1 keeps the size. shift_x: to the right, as a share of the
    width. shift_y: down, as a share of the height.
    """

    angle: float
    scale: float
    shift_x: float
    shift_y: float


IDENTITY = View(angle=0, scale=1, shift_x=0, shift_y=0)
VIEWS = (
    IDENTITY,
    View(angle=-4, scale=1, shift_x=0, shift_y=0),
    View(angle=4, scale=1, shift_x=0, shift_y=0),
    View(angle=0, scale=0.93, shift_x=0, shift_y=0),
    View(angle=0, scale=1.07, shift_x=0, shift_y=0),
    View(angle=0, scale=1, shift_x=-0.04, shift_y=0),
    View(angle=0, scale=1, shift_x=0.04, shift_y=0),
    View(angle=0, scale=1, shift_x=0, shift_y=-0.04),
    View(angle=0, scale=1, shift_x=0, shift_y=0.04),
)
"""The image itself, then pairs that go equally far either way: the first 1, 3, 5, 7 or 9 of them are balanced."""


def infer_views(
    network: nn.Module, batches: Iterable[torch.Tensor | Batch], precision: Precision, num_views: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Like infer, with the mean probabilities over the first num_views of VIEWS; 1 is infer itself, bit for bit."""
    assert num_views in range(1, len(VIEWS) + 1, 2), f"{num_views} views are not balanced"
    views = VIEWS[:num_views]
    for batch in batches:
        images = batch if isinstance(batch, torch.Tensor) else batch[0]
        images = images.to(precision.device, non_blocking=True)
        outputs = list(infer(network, (view_images(images, view) for view in views), precision))
        yield {name: torch.stack([output[name] for output in outputs]).mean(dim=0) for name in outputs[0]}


def view_images(images: torch.Tensor, view: View) -> torch.Tensor:
    """(B, 1, H, W) uint8 -> the same, moved, on the same device. What comes in from outside is paper: 0."""
    if view == IDENTITY:
        return images
    sources = find_sources(view, *images.shape[2:]).to(images.device, torch.float32)
    grid = functional.affine_grid(sources[None], [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1)
    moved = functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round_().to(torch.uint8)


def find_sources(view: View, height: int, width: int) -> torch.Tensor:
    """(2, 3) float64: from a place in the moved image to the place that it comes from, x before y.

    Both run from -1 to 1 over the image, as affine_grid wants it, and y downwards. The turn itself is in pixels, so
    an oblong image is not sheared.
    """
    cosine, sine = math.cos(math.radians(view.angle)), math.sin(math.radians(view.angle))
    back = torch.tensor([[cosine, -sine * height / width], [sine * width / height, cosine]], dtype=torch.float64)
    back /= view.scale
    shift = 2 * torch.tensor([[view.shift_x], [view.shift_y]], dtype=torch.float64)
    return torch.cat([back, -back @ shift], dim=1)
