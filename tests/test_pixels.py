"""From a scan to the network's input: all ink kept, paper 0, whatever the size."""

import cv2
import numpy as np
import pytest

from okkhor.data.pixels import crop, drop_scraps, prepare_image, prepare_images
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

PAPER = 255


def page(*boxes: tuple[slice, slice]) -> np.ndarray:
    """White paper with black boxes."""
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), PAPER, np.uint8)
    for box in boxes:
        image[box] = 0
    return image


@pytest.mark.parametrize("size", [16, 64, 128, 200, 300])
@pytest.mark.parametrize("crop_to_ink", [False, True])
def test_an_empty_white_page_becomes_zeros(size: int, crop_to_ink: bool) -> None:
    small = prepare_image(page(), size, crop_to_ink)
    assert small.shape == (size, size)
    assert small.dtype == np.uint8
    assert not small.any()


def test_a_black_page_becomes_full_ink() -> None:
    assert (prepare_image(page() * 0, 64, crop_to_ink=True) == 255).all()


@pytest.mark.parametrize("size", [32, 128, 256])
def test_the_mean_ink_of_a_whole_page_survives_resizing(size: int) -> None:
    image = page((slice(30, 100), slice(50, 180)))
    assert prepare_image(image, size, crop_to_ink=False).mean() == pytest.approx((255 - image).mean(), abs=1)


def test_the_page_is_not_turned_or_mirrored() -> None:
    small = prepare_image(page((slice(0, 40), slice(0, 60))), 64, crop_to_ink=False)  # ink at the top on the left
    assert small[8, 8] == 255
    assert small[8, 55] == small[55, 8] == small[55, 55] == 0


def test_a_stroke_of_one_pixel_loses_no_ink_when_the_page_shrinks() -> None:
    for column in range(20, 30):
        small = prepare_image(page((slice(20, 110), slice(column, column + 1))), 64, crop_to_ink=False)
        assert small[32].sum(dtype=int) == pytest.approx(255 * 64 / IMAGE_WIDTH, abs=2)


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


@pytest.mark.parametrize("edge", [(slice(0, 5), slice(0, 5)), (slice(132, 137), slice(231, 236))])
def test_ink_at_the_edge_of_the_page_is_kept(edge: tuple[slice, slice]) -> None:
    ink = 255 - page(edge)
    assert np.count_nonzero(crop(ink)) == 25


def test_faint_paper_and_specks_do_not_widen_the_crop() -> None:
    image = page((slice(40, 90), slice(80, 150)))
    noisy = np.minimum(image, np.random.default_rng(0).integers(225, 256, image.shape).astype(np.uint8))
    noisy[3, 3] = noisy[130, 230] = 0
    assert crop(255 - noisy).shape == crop(255 - image).shape


def test_a_page_with_specks_alone_is_kept_whole() -> None:
    image = page()
    image[10, 10] = image[100, 200] = 0
    assert crop(255 - image).shape == image.shape


GLYPH = (slice(40, 90), slice(80, 150))


@pytest.mark.parametrize(
    "scrap",
    [
        (slice(2, 4), slice(20, 200)),
        (slice(133, 135), slice(0, 236)),
        (slice(30, 100), slice(0, 3)),
        (slice(10, 60), slice(231, 236)),
    ],
    ids=["top", "bottom", "left", "right"],
)
def test_a_line_of_the_form_at_the_border_does_not_widen_the_crop(scrap: tuple[slice, slice]) -> None:
    np.testing.assert_array_equal(crop(255 - page(GLYPH, scrap)), crop(255 - page(GLYPH)))


@pytest.mark.parametrize(
    "glyph",
    [
        (slice(0, 60), slice(80, 150)),
        (slice(70, 137), slice(80, 150)),
        (slice(40, 90), slice(0, 70)),
        (slice(40, 90), slice(180, 236)),
    ],
    ids=["top", "bottom", "left", "right"],
)
def test_a_glyph_that_touches_the_border_is_kept_whole(glyph: tuple[slice, slice]) -> None:
    inked = page(glyph) < PAPER
    np.testing.assert_array_equal(drop_scraps(inked), inked)
    assert np.count_nonzero(crop(255 - page(glyph))) == inked.sum()


def test_a_line_that_runs_into_the_glyph_belongs_to_it() -> None:
    inked = page((slice(0, 3), slice(10, 220)), (slice(0, 70), slice(90, 110))) < PAPER
    np.testing.assert_array_equal(drop_scraps(inked), inked)


def test_ink_that_lies_at_the_border_alone_is_no_scrap_and_a_blank_image_stays_blank() -> None:
    line = page((slice(0, 3), slice(10, 220))) < PAPER
    np.testing.assert_array_equal(drop_scraps(line), line)
    blank = page() < PAPER
    np.testing.assert_array_equal(drop_scraps(blank), blank)
    assert crop(255 - page()).shape == (IMAGE_HEIGHT, IMAGE_WIDTH)


def test_shrinking_averages_as_opencv_area_does_and_growing_interpolates() -> None:
    image = np.random.default_rng(0).integers(0, 256, (IMAGE_HEIGHT, IMAGE_WIDTH), dtype=np.uint8)
    small = cv2.resize(255 - image, (128, 128), interpolation=cv2.INTER_AREA)
    large = cv2.resize(255 - image, (256, 256), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(prepare_image(image, 128, crop_to_ink=False), small)
    np.testing.assert_array_equal(prepare_image(image, 256, crop_to_ink=False), large)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_many_images_are_each_prepared_as_one_is_in_their_order(number: int) -> None:
    pages = np.stack([page((slice(20, 60 + 5 * k), slice(30, 50 + 9 * k))) for k in range(number)])
    expected = [prepare_image(one, 32, crop_to_ink=True) for one in pages]
    np.testing.assert_array_equal(prepare_images(pages, 32, crop_to_ink=True), np.stack(expected))
