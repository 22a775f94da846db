"""Test-time augmentation, checked on pixels: each move does what it says, as far as it says, and nothing else."""

import math
from collections.abc import Iterator

import pytest
import torch
from helpers import random_images
from torch import nn

from okkhor.schema import HEADS, MARGINALS
from okkhor.training.device import Precision
from okkhor.training.loop import infer
from okkhor.training.tta import MOVES, Move, find_sources, infer_tta, move_images

CPU = torch.device("cpu")
FLOAT32 = Precision(CPU, torch.float32)
HEIGHT, WIDTH = 50, 100  # oblong, so that a share of the width is not one of the height

Place = tuple[float, float]


def draw_dot(row: int, column: int) -> torch.Tensor:
    """(1, 1, 50, 100) uint8: ink in the 3 x 3 pixels around this one."""
    image = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    image[0, 0, row - 1 : row + 2, column - 1 : column + 2] = 200
    return image


def find_dot(image: torch.Tensor) -> Place:
    """Row and column of the centre of mass."""
    ink = image[0, 0].double()
    rows, columns = torch.meshgrid(torch.arange(ink.shape[0]), torch.arange(ink.shape[1]), indexing="ij")
    return ((ink * rows).sum() / ink.sum()).item(), ((ink * columns).sum() / ink.sum()).item()


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (Move(shift_x=0.04), (10, 34)),  # 4 % of 100 pixels to the right
        (Move(shift_y=0.04), (12, 30)),  # 4 % of 50 pixels down
        (Move(scale=0.93), (24.5 - 0.93 * 14.5, 49.5 - 0.93 * 19.5)),  # the centre is at 24.5, 49.5
        (Move(scale=1.07), (24.5 - 1.07 * 14.5, 49.5 - 1.07 * 19.5)),
        (Move(angle=90), (24.5 + 19.5, 49.5 - 14.5)),  # left of the centre becomes below it, above becomes left
        (Move(angle=-90), (24.5 - 19.5, 49.5 + 14.5)),
        (Move(90, 0.5, 0.1, -0.1), (24.5 + 0.5 * 19.5 - 5, 49.5 - 0.5 * 14.5 + 10)),  # the shift comes last
    ],
)
def test_a_dot_moves_as_far_and_to_where_the_move_says(move: Move, expected: Place) -> None:
    near = 0.05 if move.scale > 0.5 else 0.3  # pixels
    assert find_dot(move_images(draw_dot(10, 30), move)) == pytest.approx(expected, abs=near)


@pytest.mark.parametrize("number", [3, 5, 7, 9])
def test_an_odd_number_of_moves_leans_to_no_side(number: int) -> None:
    moves = MOVES[:number]
    assert moves[0] == Move()
    assert len(set(moves)) == number
    for name in ("angle", "shift_x", "shift_y"):
        assert sum(getattr(move, name) for move in moves) == 0
    assert sum(move.scale for move in moves) == pytest.approx(number)


@pytest.mark.parametrize("move", MOVES)
def test_each_pixel_is_the_bilinear_mean_rounded_and_each_image_moves_alone(move: Move) -> None:
    images = random_images(3, size=24)
    moved, sources = move_images(images, move), find_sources(move, 24, 24)
    assert (moved.dtype, moved.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, random_images(3, size=24))
    assert torch.equal(moved[:1], move_images(images[:1], move))
    for row, column in ((0, 0), (5, 17), (12, 12), (23, 9)):
        place = torch.tensor([(2 * column + 1) / 24 - 1, (2 * row + 1) / 24 - 1, 1], dtype=torch.float64)
        x, y = (((sources @ place) + 1) * 12 - 0.5).tolist()
        value = 0.0
        for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            near_row, near_column = math.floor(y) + below, math.floor(x) + right
            if 0 <= near_row < 24 and 0 <= near_column < 24:
                weight = (1 - abs(y - near_row)) * (1 - abs(x - near_column))
                value += weight * images[0, 0, near_row, near_column].item()
        assert abs(moved[0, 0, row, column].item() - value) <= 0.5 + 1e-2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("move", MOVES)
def test_a_gpu_moves_images_as_the_cpu_does(move: Move) -> None:
    moved = move_images(random_images().cuda(), move)
    assert moved.device.type == "cuda"
    assert (moved.cpu().int() - move_images(random_images(), move).int()).abs().max() <= 1


class TinyNetwork(nn.Module):
    """Logits as of a network with a grapheme head: of the three heads, and of its marginals."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {name: head.num_classes for head in HEADS for name in (head.name, MARGINALS[head.name])}
        self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Dropout(0.5))
        self.heads = nn.ModuleDict({name: nn.Linear(256, size) for name, size in sizes.items()})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(images.float() / 255)
        return {name: head(features) for name, head in self.heads.items()}


def bare_images() -> Iterator[torch.Tensor]:
    yield from (random_images(size=16, seed=1), random_images(3, size=16, seed=2))


@pytest.mark.parametrize("number", [3, 9])
def test_several_moves_give_the_mean_prediction(number: int) -> None:
    network = TinyNetwork()
    found = [infer_tta(network, images, FLOAT32, number) for images in bare_images()]
    network.eval()
    for images, predicted in zip(bare_images(), found, strict=True):
        assert set(predicted) == {head.name for head in HEADS} | set(MARGINALS.values())
        for name, values in predicted.items():
            with torch.no_grad():
                each = [network(move_images(images, move))[name].double().softmax(dim=1) for move in MOVES[:number]]
            torch.testing.assert_close(values.double(), torch.stack(each).mean(dim=0), rtol=1e-5, atol=1e-7)
            assert values.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_move_is_inference_bit_for_bit(dtype: torch.dtype) -> None:
    network = TinyNetwork()
    found = [infer_tta(network, images, Precision(CPU, dtype), 1) for images in bare_images()]
    for predicted, expected in zip(found, infer(network, bare_images(), Precision(CPU, dtype)), strict=True):
        assert predicted.keys() == expected.keys()
        assert all(torch.equal(predicted[name], expected[name]) for name in expected)
