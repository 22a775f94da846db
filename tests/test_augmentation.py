"""The random changes of training images: fixed by the seed, stronger with the strength, never a flip."""

import cv2
import numpy as np
import pytest

from okkhor.config import AugmentConfig
from okkhor.data.augmentation import POLICIES, TRANSFORMS, Augmentation, parse_policy
from okkhor.errors import ConfigError

ALWAYS = 10.0  # as a factor, makes every probability 1


def glyphs(num_images: int = 16, size: int = 64) -> np.ndarray:
    """(B, H, W) uint8: the same L in each, ink bright on 0."""
    images = np.zeros((num_images, size, size), np.uint8)
    images[:, size // 4 : 3 * size // 4, 5 * size // 16 : 7 * size // 16] = 220
    images[:, 21 * size // 32 : 3 * size // 4, 5 * size // 16 : 11 * size // 16] = 220
    return images


def change(policy: str, images: np.ndarray, seed: int = 0, **factors: float) -> np.ndarray:
    return Augmentation(AugmentConfig(policy, **{"probability": ALWAYS, **factors}))(images, seed)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_changes_a_batch_in_the_same_way_in_any_copy(policy: str) -> None:
    one, other = (Augmentation(AugmentConfig(policy=policy)) for _ in range(2))
    other(glyphs(), seed=99)  # what came before does not matter
    np.testing.assert_array_equal(one(glyphs(), seed=5), other(glyphs(), seed=5))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transform_changes_images_each_in_its_own_way_and_keeps_shape_and_dtype(name: str) -> None:
    images = glyphs()
    images.flags.writeable = False
    changed = change(name, images)
    assert changed.dtype == np.uint8
    assert changed.shape == images.shape
    assert (changed != images).any(axis=(1, 2)).mean() > (0.4 if name == "dropout" else 0.8)  # holes may miss the ink
    assert len(np.unique(changed.reshape(16, -1), axis=0)) >= (2 if name == "contrast" else 6)
    assert (change(name, images, seed=1) != changed).any()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_stronger_transform_changes_more_and_strength_0_nothing(name: str) -> None:
    images = glyphs(48).astype(int)
    amounts = [np.abs(change(name, glyphs(48), strength=strength) - images).mean() for strength in (0, 0.3, 1, 2)]
    assert amounts[0] == 0
    assert amounts == sorted(amounts)
    assert amounts[1] < 0.8 * amounts[3]


def test_paper_stays_paper_and_new_ground_is_paper() -> None:
    paper = np.zeros((8, 64, 64), np.uint8)
    for name in set(TRANSFORMS) - {"noise"}:
        np.testing.assert_array_equal(change(name, paper), paper)


def test_a_transform_changes_a_like_share_of_the_image_at_each_size() -> None:
    for name in set(TRANSFORMS) - {"noise", "blur"}:  # at 32 pixels a blur is less than one
        sizes = (32, 64, 128)
        amounts = [np.abs(change(name, glyphs(48, s), seed=2).astype(int) - glyphs(48, s)).mean() for s in sizes]
        assert max(amounts) < 3 * min(amounts), name


def test_erased_rectangles_have_the_area_that_random_erasing_gives_them() -> None:
    full = np.full((60, 64, 64), 200, np.uint8)
    changed = change("erase", full)
    assert set(np.unique(changed)) == {0, 200}
    shares = (changed == 0).mean(axis=(1, 2))
    assert shares.min() > 0.01
    assert 0.12 < shares.max() < 0.23


def test_about_the_set_share_of_images_is_changed() -> None:
    full = np.full((400, 32, 32), 200, np.uint8)
    for probability, expected in ((1.0, 0.5), (0.5, 0.25), (0.0, 0.0)):
        changed = (change("erase", full, probability=probability) != full).any(axis=(1, 2)).mean()
        assert changed == pytest.approx(expected, abs=0.08)


def test_a_policy_is_a_name_or_transforms_joined_by_plus() -> None:
    assert parse_policy("light") == parse_policy("affine+erase")
    for policy in ("havy", "affine+flip", ""):
        with pytest.raises(ConfigError, match=r"augment\.policy=.*Policies: none, affine, light"):
            parse_policy(policy)


@pytest.mark.parametrize("name", ["affine", "perspective", "elastic", "grid"])
def test_no_glyph_is_flipped(name: str) -> None:
    """Every changed L is more like an L than like its three mirror images."""
    plain = cv2.GaussianBlur(glyphs(1)[0], (0, 0), 5)
    forms = [plain, plain[::-1], plain[:, ::-1], plain[::-1, ::-1]]
    for image in change(name, glyphs(100)):
        likeness = [np.corrcoef(cv2.GaussianBlur(image, (0, 0), 5).ravel(), form.ravel())[0, 1] for form in forms]
        assert np.argmax(likeness) == 0
