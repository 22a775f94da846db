"""From a scan to the network's input: all ink kept, paper 0, at any size."""

import cv2
import numpy as np
import pytest

from okkhor.data.pixels import crop, drop_scraps, prepare_image, prepare_images
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

PAPER = 255
Box = tuple[slice, slice]
GLYPH = (slice(40, 90), slice(80, 150))


def page(*boxes: Box) -> np.ndarray:
    """White paper with black boxes."""
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), PAPER, np.uint8)
    for box in boxes:
        image[box] = 0
    return image


@pytest.mark.parametrize("size", [16, 128, 300])
@pytest.mark.parametrize("crop_to_ink", [False, True])
def test_white_becomes_zeros_and_black_full_ink(size: int, crop_to_ink: bool) -> None:
    small = prepare_image(page(), size, crop_to_ink)
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small, np.zeros((size, size)))
    assert (prepare_image(page() * 0, size, crop_to_ink) == 255).all()


@pytest.mark.parametrize("seed", range(20))
def test_the_crop_keeps_every_pixel_of_ink(seed: int) -> None:
    random = np.random.default_rng(seed)
    tops, lefts = random.integers(0, 120, 3), random.integers(0, 220, 3)
    ink = 255 - page(*((slice(t, t + 12), slice(x, x + 9)) for t, x in zip(tops, lefts, strict=True)))
    cropped = crop(ink)
    assert np.count_nonzero(cropped) == np.count_nonzero(ink)
    rows, columns = np.nonzero(ink)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height <= cropped.shape[0] <= height * 1.12 + 4
    assert width <= cropped.shape[1] <= width * 1.12 + 4


def test_faint_paper_and_specks_do_not_widen_the_crop() -> None:
    image = page(GLYPH)
    noisy = np.minimum(image, np.random.default_rng(0).integers(225, 256, image.shape).astype(np.uint8))
    noisy[3, 3] = noisy[130, 230] = 0
    assert crop(255 - noisy).shape == crop(255 - image).shape
    specks = page((slice(10, 11), slice(10, 11)), (slice(100, 101), slice(200, 201)))
    assert crop(255 - specks).shape == specks.shape, "specks alone are no ink to crop to"


@pytest.mark.parametrize(
    ("scrap", "glyph"),
    [
        ((slice(2, 4), slice(20, 200)), (slice(0, 60), slice(80, 150))),
        ((slice(133, 135), slice(0, 236)), (slice(70, 137), slice(80, 150))),
        ((slice(30, 100), slice(0, 3)), (slice(40, 90), slice(0, 70))),
        ((slice(10, 60), slice(231, 236)), (slice(40, 90), slice(180, 236))),
    ],
    ids=["top", "bottom", "left", "right"],
)
def test_a_line_at_the_border_does_not_widen_the_crop_and_a_glyph_there_is_kept_whole(scrap: Box, glyph: Box) -> None:
    np.testing.assert_array_equal(crop(255 - page(GLYPH, scrap)), crop(255 - page(GLYPH)))
    inked = page(glyph) < PAPER
    np.testing.assert_array_equal(drop_scraps(inked), inked)
    assert np.count_nonzero(crop(255 - page(glyph))) == inked.sum()


@pytest.mark.parametrize(
    "boxes",
    [
        [(slice(0, 3), slice(10, 220)), (slice(0, 70), slice(90, 110))],  # a line that runs into the glyph
        [(slice(0, 3), slice(10, 220))],  # a line alone
        [(slice(132, 137), slice(231, 236))],  # a corner alone
        [],
    ],
)
def test_ink_at_the_border_is_kept_if_it_belongs_to_the_glyph_or_is_alone(boxes: list[Box]) -> None:
    inked = page(*boxes) < PAPER
    np.testing.assert_array_equal(drop_scraps(inked), inked)
    assert np.count_nonzero(crop(255 - page(*boxes))) == inked.sum()


def test_shrinking_averages_as_opencv_area_does_and_growing_interpolates() -> None:
    image = np.random.default_rng(0).integers(0, 256, (IMAGE_HEIGHT, IMAGE_WIDTH), dtype=np.uint8)
    for size, interpolation in ((128, cv2.INTER_AREA), (256, cv2.INTER_LINEAR)):
        expected = cv2.resize(255 - image, (size, size), interpolation=interpolation)
        np.testing.assert_array_equal(prepare_image(image, size, crop_to_ink=False), expected)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_many_images_are_each_prepared_as_one_is_in_their_order(number: int) -> None:
    pages = np.stack([page((slice(20, 60 + 5 * k), slice(30, 50 + 9 * k))) for k in range(number)])
    expected = [prepare_image(one, 32, crop_to_ink=True) for one in pages]
    np.testing.assert_array_equal(prepare_images(pages, 32, crop_to_ink=True), np.stack(expected))
