"""infer_tta: test-time augmentation, the mean prediction for an image and slightly moved copies of it.

Krizhevsky et al. 2012 averaged over ten crops. Nothing is flipped: a flip turns a glyph into another. The moves are
about half as far as those of training at strength 1 (8 degrees, 12 %, 6 %: data/augmentation.py).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from okkhor.training.device import Precision
from okkhor.training.loop import infer


class Move(NamedTuple):
    """Turn and scale an image about its centre, then shift it.

    angle: degrees, counter-clockwise. scale: 1 keeps the size. shift_x: to the right, as a share of the width.
    shift_y: down, as a share of the height.
    """

    angle: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0


MOVES = (
    Move(),
    Move(angle=-4),
    Move(angle=4),
    Move(scale=0.93),
    Move(scale=1.07),
    Move(shift_x=-0.04),
    Move(shift_x=0.04),
    Move(shift_y=-0.04),
    Move(shift_y=0.04),
)
"""The image itself, then pairs of opposite moves: the first 1, 3, 5, 7 or 9 are balanced."""


def infer_tta(network: nn.Module, images: Tensor, precision: Precision, num_moves: int) -> dict[str, Tensor]:
    """Like infer, for one batch, with mean probabilities over the first num_moves of MOVES; 1 gives infer's bits."""
    assert num_moves in range(1, len(MOVES) + 1, 2), f"{num_moves} moves are not balanced"
    images = images.to(precision.device, non_blocking=True)
    outputs = list(infer(network, (move_images(images, move) for move in MOVES[:num_moves]), precision))
    return {name: torch.stack([output[name] for output in outputs]).mean(dim=0) for name in outputs[0]}


def move_images(images: Tensor, move: Move) -> Tensor:
    """Move images (B, 1, H, W) uint8 on their device. What comes in from outside is paper: 0."""
    if move == Move():
        return images
    sources = find_sources(move, *images.shape[2:]).to(images.device, torch.float32)
    grid = functional.affine_grid(sources[None], [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1)
    moved = functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round_().to(torch.uint8)


def find_sources(move: Move, height: int, width: int) -> Tensor:
    """Return affine_grid's matrix (2, 3) float64 from a place in the moved image to its source in the image.

    Places are (x, y) from -1 to 1, y downwards. The rotation is in pixels, so an oblong image is not sheared.
    """
    cosine, sine = math.cos(math.radians(move.angle)), math.sin(math.radians(move.angle))
    back = torch.tensor([[cosine, -sine * height / width], [sine * width / height, cosine]], dtype=torch.float64)
    back /= move.scale
    shift = 2 * torch.tensor([[move.shift_x], [move.shift_y]], dtype=torch.float64)
    return torch.cat([back, -back @ shift], dim=1)
