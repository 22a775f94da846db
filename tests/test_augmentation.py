"""The random changes of training images: fixed by the seed, within their bounds, never a flip."""

import numpy as np
import pytest

from okkhor.config import AugmentConfig
from okkhor.data.augmentation import Augmentation


def glyphs(num_images: int = 16, size: int = 64) -> np.ndarray:
    """(B, H, W) uint8: the same L in each, ink bright on 0."""
    images = np.zeros((num_images, size, size), np.uint8)
    images[:, 16:48, 20:26] = images[:, 42:48, 20:44] = 220
    return images


def test_the_same_seed_changes_a_batch_in_the_same_way_in_any_copy() -> None:
    one, other = Augmentation(AugmentConfig()), Augmentation(AugmentConfig())
    other(glyphs(), seed=99)  # what came before does not matter
    np.testing.assert_array_equal(one(glyphs(), seed=5), other(glyphs(), seed=5))


def test_another_seed_changes_it_otherwise() -> None:
    augmentation = Augmentation(AugmentConfig())
    assert (augmentation(glyphs(), seed=0) != augmentation(glyphs(), seed=1)).any(axis=(1, 2)).mean() > 0.9


def test_the_images_of_a_batch_are_changed_each_in_its_own_way() -> None:
    changed = Augmentation(AugmentConfig())(glyphs(), seed=0)
    assert len(np.unique(changed.reshape(16, -1), axis=0)) >= 14


def test_shape_and_dtype_stay_and_the_given_batch_is_not_written_to() -> None:
    images = glyphs()
    images.flags.writeable = False
    changed = Augmentation(AugmentConfig())(images, seed=0)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(images, glyphs())


def test_without_probability_nothing_changes() -> None:
    np.testing.assert_array_equal(
        Augmentation(AugmentConfig(probability=0, erase_probability=0))(glyphs(), seed=0), glyphs()
    )


def test_the_erased_rectangle_is_paper_and_has_the_area_that_is_set() -> None:
    settings = AugmentConfig(probability=0, erase_probability=1, erase_area=(0.05, 0.2))
    full = np.full((50, 64, 64), 200, np.uint8)
    changed = Augmentation(settings)(full, seed=0)
    assert set(np.unique(changed)) == {0, 200}
    shares = (changed == 0).mean(axis=(1, 2))
    assert shares.min() > 0.03
    assert 0.15 < shares.max() < 0.22


def test_about_the_set_share_of_images_is_changed() -> None:
    settings = AugmentConfig(probability=0, erase_probability=0.5)
    full = np.full((400, 32, 32), 200, np.uint8)
    assert (Augmentation(settings)(full, seed=0) == 0).any(axis=(1, 2)).mean() == pytest.approx(0.5, abs=0.1)


def test_new_ground_is_paper() -> None:
    settings = AugmentConfig(probability=1, erase_probability=0, rotate=0, shear=0, scale=0, translate=0.4)
    changed = Augmentation(settings)(np.full((20, 64, 64), 200, np.uint8), seed=0)
    assert (changed == 0).any(axis=(1, 2)).mean() > 0.9


def test_no_glyph_is_flipped() -> None:
    """Every changed L is nearer to some turned, moved L than to a mirrored one: its corner stays at the bottom left."""
    settings = AugmentConfig(erase_probability=0, probability=1)
    for image in Augmentation(settings)(glyphs(200), seed=0):
        rows, columns = np.nonzero(image > 100)
        height, width = np.ptp(rows), np.ptp(columns)
        corner = (rows > rows.min() + height * 0.6) & (columns < columns.min() + width * 0.5)
        opposite = (rows < rows.min() + height * 0.4) & (columns > columns.min() + width * 0.5)
        assert corner.sum() > 3 * opposite.sum()


def test_the_ink_moves_no_farther_than_set() -> None:
    settings = AugmentConfig(probability=1, erase_probability=0, rotate=0, shear=0, scale=0, translate=0.1)
    for image in Augmentation(settings)(glyphs(100, size=100), seed=0):
        rows, columns = np.nonzero(image)
        assert abs(rows.min() - 16) <= 11
        assert abs(columns.min() - 20) <= 11
