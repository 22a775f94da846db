"""Photos of a rendered grapheme become what the pipeline sees of the grapheme itself."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from helpers import Refused
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.data.photos import INK_HEIGHT, INK_WIDTH, scan_photo
from okkhor.data.pixels import prepare_image
from okkhor.rendering.drawing import draw_grapheme
from okkhor.rendering.fonts import find_faces
from okkhor.rendering.hands import make_hands
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

Gray = NDArray[np.uint8]


@pytest.fixture(scope="module", params=["ক্ষি", "র্গা", "ড়"])
def scan(request: pytest.FixtureRequest) -> Gray:
    generator = np.random.default_rng(3)
    ranges = HandConfig(scraps=(0.0, 0.0), cut=(0.0, 0.0))  # of ink at the edge a photo has more
    handwritten, others = find_faces(())
    return draw_grapheme(request.param, make_hands(handwritten, others, 1, ranges, generator)[0], ranges, generator)


def widen(scan: Gray, paper: int = 252) -> Gray:
    return np.pad(scan, ((80, 150), (200, 60)), constant_values=paper)


def enlarge(scan: Gray, factor: float) -> Gray:
    return cv2.resize(scan, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)


def cut_close(scan: Gray) -> Gray:
    rows, columns = np.flatnonzero((scan < 128).any(axis=1)), np.flatnonzero((scan < 128).any(axis=0))
    return scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shade(scan: Gray, soft: float) -> Gray:
    """A photo: yellowish grainy paper under a lamp, with the shadow of a hand whose edge is `soft` pixels wide."""
    photo = enlarge(widen(scan), 2).astype(np.float32)
    down, right = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    photo *= 0.9 - 0.4 * right / photo.shape[1]
    photo *= 1 - 0.225 * (1 + np.tanh((down - 300 - 0.4 * right) / (2 * soft)))
    photo += np.random.default_rng(0).normal(0, 4, photo.shape)
    return photo.clip(0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Gray], Gray]] = {
    "more paper": widen,
    "four times as large": lambda scan: enlarge(scan, 4),
    "half as large": lambda scan: enlarge(scan, 0.5),
    "cut close": cut_close,
    "white on black": lambda scan: 255 - widen(scan),
    "white on black, cut close": lambda scan: 255 - cut_close(scan),
    "white on black, as large as a scan": lambda scan: 255 - scan,
    "faint on gray": lambda scan: (widen(scan) * 0.25 + 100).astype(np.uint8),
    "a soft shadow": lambda scan: shade(scan, 40),
    "a hard shadow": lambda scan: shade(scan, 1.5),
    "chalk on a board in the light": lambda scan: 255 - shade(scan, 40),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_photo_looks_to_the_network_as_the_scan_does(scan: Gray, change: Callable[[Gray], Gray]) -> None:
    expected = prepare_image(scan, 48, crop_to_ink=True)
    found = prepare_image(scan_photo(change(scan)), 48, crop_to_ink=True)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_ink_is_dark_and_as_large_as_the_competitions_whatever_the_photo(
    scan: Gray, change: Callable[[Gray], Gray]
) -> None:
    result = scan_photo(change(scan))
    assert result.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
    assert result.dtype == np.uint8
    rows, columns = (np.flatnonzero((result < 128).any(axis=axis)) for axis in (1, 0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    smallest = 0.85 if change is CHANGES["half as large"] else 0.87
    assert smallest < max(height / INK_HEIGHT, width / INK_WIDTH) < 1.05
    close = cut_close(scan)
    assert width / height == pytest.approx(close.shape[1] / close.shape[0], rel=0.1)  # not stretched
    assert (result[[0, -1]] > 250).all()
    assert np.percentile(result[result < 128], 25) < 60


def test_an_image_as_the_competitions_stays_as_it_is(scan: Gray) -> None:
    assert scan_photo(scan) is scan


@pytest.mark.parametrize("shape", [(137, 236), (900, 600), (40, 40)])
def test_blank_paper_is_refused(shape: tuple[int, int], refused: Refused) -> None:
    grain = np.random.default_rng(0).normal(0, 5, shape)
    light = np.linspace(220, 90, shape[1])  # the lamp is on the left
    for blank in (np.zeros(shape), np.full(shape, 255), 240 + grain, light + grain):
        refused(["the image: no ink"], scan_photo, blank.clip(0, 255).astype(np.uint8))


def test_a_photo_of_a_few_pixels_is_refused_with_its_name(refused: Refused) -> None:
    refused(["a.png: 200 x 15 pixels", "16"], scan_photo, np.zeros((15, 200), np.uint8), "a.png")


def test_specks_do_not_move_the_letter(scan: Gray) -> None:
    photo = enlarge(widen(scan), 2)
    expected = scan_photo(photo)
    for row, column in ((30, 40), (200, 900), (700, 500)):
        photo[row : row + 2, column : column + 2] = 0
    assert np.corrcoef(expected.ravel(), scan_photo(photo).ravel())[0, 1] > 0.99
