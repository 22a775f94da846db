"""Views of an image, checked on pixels: each moves what it says, as far as it says, and nothing else."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from helpers import random_images
from torch import nn

from okkhor.schema import HEADS, MARGINALS
from okkhor.training.device import Precision
from okkhor.training.loop import Batch, infer
from okkhor.training.tta import IDENTITY, VIEWS, View, find_sources, infer_views, view_images

CPU = torch.device("cpu")
FLOAT32 = Precision(CPU, torch.float32)
HEIGHT, WIDTH = 50, 100  # oblong, so that a share of the width is not one of the height
STILL = {"angle": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}

Place = tuple[float, float]
Batches = Callable[[], Iterator[torch.Tensor | Batch]]


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
    ("changes", "expected"),
    [
        ({"shift_x": 0.04}, (10, 34)),  # 4 % of 100 pixels to the right
        ({"shift_x": -0.04}, (10, 26)),
        ({"shift_y": 0.04}, (12, 30)),  # 4 % of 50 pixels down
        ({"shift_y": -0.04}, (8, 30)),
        ({"scale": 0.93}, (24.5 - 0.93 * 14.5, 49.5 - 0.93 * 19.5)),  # the centre is at 24.5, 49.5
        ({"scale": 1.07}, (24.5 - 1.07 * 14.5, 49.5 - 1.07 * 19.5)),
        ({"angle": 90}, (24.5 + 19.5, 49.5 - 14.5)),  # what was left of the centre is below it, what was above is left
        ({"angle": -90}, (24.5 - 19.5, 49.5 + 14.5)),
    ],
)
def test_a_dot_moves_as_far_and_to_where_the_view_says(changes: dict[str, float], expected: Place) -> None:
    found = find_dot(view_images(draw_dot(10, 30), View(**{**STILL, **changes})))
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("angle", [4.0, -4.0])
def test_a_positive_angle_turns_counter_clockwise_about_the_centre(angle: float) -> None:
    top, left = find_dot(view_images(draw_dot(20, 90), View(**{**STILL, "angle": angle})))
    down, right = 20 - 24.5, 90 - 49.5
    place = complex(right, -down) * complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    assert (top, left) == pytest.approx((24.5 - place.imag, 49.5 + place.real), abs=0.05)
    assert (top < 20) == (angle > 0)  # right of the centre, counter-clockwise is up


def test_what_is_scaled_and_turned_is_shifted_afterwards() -> None:
    found = find_dot(view_images(draw_dot(25, 70), View(angle=90, scale=0.5, shift_x=0.1, shift_y=-0.1)))
    assert found == pytest.approx((24.5 - 0.5 * 20.5 - 5, 49.5 + 0.5 * 0.5 + 10), abs=0.3)


@pytest.mark.parametrize("view", VIEWS)
def test_the_ink_grows_with_the_area_and_none_is_lost(view: View) -> None:
    image = torch.zeros(1, 1, HEIGHT, WIDTH)
    image[0, 0, 15:35, 30:70] = 200
    moved = view_images(image.to(torch.uint8), view)
    assert moved.sum().item() == pytest.approx(image.sum().item() * view.scale**2, rel=0.005)


def test_the_first_view_is_the_images_themselves() -> None:
    images = random_images()
    assert VIEWS[0] == IDENTITY == View(**STILL)
    assert view_images(images, IDENTITY) is images


@pytest.mark.parametrize("number", [3, 5, 7, 9])
def test_an_odd_number_of_views_leans_to_no_side(number: int) -> None:
    views = VIEWS[:number]
    assert len(set(views)) == number
    for name in ("angle", "shift_x", "shift_y"):
        assert sum(getattr(view, name) for view in views) == 0
    assert sum(view.scale for view in views) == pytest.approx(number)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_no_view_is_a_flip(view: View, axes: tuple[int, ...]) -> None:
    image = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    image[0, 0, 10:54, 14:22] = 255
    image[0, 0, 10:18, 14:50] = 255  # the letter gamma, which no turn or mirror leaves as it is
    image[0, 0, 26:32, 14:34] = 255
    moved = view_images(image, view).float()
    assert (moved - image.float()).abs().sum() < (moved - image.flip(axes).float()).abs().sum() / 2


@pytest.mark.parametrize("view", VIEWS[1:])
def test_what_leaves_at_one_border_does_not_come_in_at_another(view: View) -> None:
    for side in (slice(0, 2), slice(-2, None)):
        strip = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
        strip[:, :, side] = 255
        far = slice(32, None) if side.start == 0 else slice(0, 32)
        assert view_images(strip, view)[:, :, far].max() == 0
        assert view_images(strip.mT, view)[:, :, :, far].max() == 0
    moved = view_images(torch.full((1, 1, 64, 64), 255, dtype=torch.uint8), view)[0, 0]
    assert (moved.min() == 0) == (view.scale <= 1)  # paper comes in, where anything does


@pytest.mark.parametrize("view", VIEWS)
def test_shape_dtype_device_and_input_stay_and_each_image_is_moved_alone(view: View) -> None:
    images = random_images(3)
    moved = view_images(images, view)
    assert (moved.dtype, moved.shape, moved.device) == (torch.uint8, images.shape, images.device)
    assert torch.equal(images, random_images(3))
    for number in range(3):
        assert torch.equal(moved[number : number + 1], view_images(images[number : number + 1], view))


@pytest.mark.parametrize("view", VIEWS)
def test_each_pixel_is_the_bilinear_mean_rounded(view: View) -> None:
    images = random_images(1, size=24)
    moved, sources = view_images(images, view)[0, 0], find_sources(view, 24, 24)
    for row, column in ((0, 0), (5, 17), (12, 12), (23, 9)):
        place = torch.tensor([(2 * column + 1) / 24 - 1, (2 * row + 1) / 24 - 1, 1], dtype=torch.float64)
        x, y = (((sources @ place) + 1) * 12 - 0.5).tolist()
        value = 0.0
        for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            near_row, near_column = math.floor(y) + below, math.floor(x) + right
            if 0 <= near_row < 24 and 0 <= near_column < 24:
                weight = (1 - abs(y - near_row)) * (1 - abs(x - near_column))
                value += weight * images[0, 0, near_row, near_column].item()
        assert abs(moved[row, column].item() - value) <= 0.5 + 1e-2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("view", VIEWS)
def test_a_gpu_moves_images_as_the_cpu_does(view: View) -> None:
    moved = view_images(random_images().cuda(), view)
    assert moved.device.type == "cuda"
    assert (moved.cpu().int() - view_images(random_images(), view).int()).abs().max() <= 1


class TinyNetwork(nn.Module):
    """What the network gives with a grapheme head: logits of the three heads, and of what that one says of each."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {head.name: head.num_classes for head in HEADS}
        sizes |= {MARGINALS[head.name]: head.num_classes for head in HEADS}
        self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Dropout(0.5))
        self.heads = nn.ModuleDict({name: nn.Linear(256, size) for name, size in sizes.items()})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(images.float() / 255)
        return {name: head(features) for name, head in self.heads.items()}


def bare_images() -> Iterator[torch.Tensor]:
    yield from (random_images(size=16, seed=1), random_images(3, size=16, seed=2))


def labelled_images() -> Iterator[Batch]:
    for images in bare_images():
        yield images, torch.zeros(len(images), 3, dtype=torch.int64)


@pytest.mark.parametrize("batches", [bare_images, labelled_images])
@pytest.mark.parametrize("number", [3, 5, 7, 9])
def test_several_views_give_the_mean_of_what_each_gives(batches: Batches, number: int) -> None:
    network = TinyNetwork()
    found = list(infer_views(network, batches(), FLOAT32, number))
    assert len(found) == 2
    network.eval()
    for images, part in zip(bare_images(), found, strict=True):
        assert set(part) == {head.name for head in HEADS} | set(MARGINALS.values())
        for name, values in part.items():
            total = torch.zeros_like(values, dtype=torch.float64)
            for view in VIEWS[:number]:
                with torch.no_grad():
                    total += network(view_images(images, view))[name].softmax(dim=1)
            torch.testing.assert_close(values.double(), total / number, rtol=1e-5, atol=1e-7)
            assert values.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_view_is_inference_bit_for_bit(dtype: torch.dtype) -> None:
    network = TinyNetwork()
    found = list(infer_views(network, bare_images(), Precision(CPU, dtype), 1))
    for part, expected in zip(found, infer(network, bare_images(), Precision(CPU, dtype)), strict=True):
        assert part.keys() == expected.keys()
        assert all(torch.equal(part[name], expected[name]) for name in expected)


@pytest.mark.parametrize("number", [0, 2, 11])
def test_a_number_of_views_that_leans_to_a_side_is_a_mistake_of_ours(number: int) -> None:
    with pytest.raises(AssertionError, match="not balanced"):
        next(infer_views(TinyNetwork(), bare_images(), FLOAT32, number))
