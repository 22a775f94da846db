"""The habits of hands lie within their ranges, and vary from hand to hand and from image to image."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import CALM

from okkhor.config_rendering import HandConfig
from okkhor.rendering.fonts import find_faces
from okkhor.rendering.hands import SLOPPY, draw_hand, make_hands, vary_hand

HANDWRITTEN, PRINTED = find_faces(())
RANGES = HandConfig()


@pytest.fixture(scope="module")
def shares() -> pd.DataFrame:
    """The habits of 500 hands, a column each: 0 is the lowest value of its range, 1 the highest."""
    generator = np.random.default_rng(0)
    habits = pd.DataFrame([draw_hand(HANDWRITTEN, RANGES, generator).habits for _ in range(500)])
    low, high = pd.DataFrame({name: getattr(RANGES, name) for name in CALM}).to_numpy()
    return (habits[list(CALM)] - low) / (high - low)


def test_the_habits_of_many_hands_fill_each_range_and_keep_to_it(shares: pd.DataFrame) -> None:
    for name, values in shares.items():
        assert -1e-9 <= values.min() < 0.05, name
        assert 0.95 < values.max() <= 1 + 1e-9, name
        assert np.median(values) == pytest.approx(0.5, abs=0.1), name


def test_a_hand_that_is_careless_in_one_habit_is_careless_in_the_others(shares: pd.DataFrame) -> None:
    for name in SLOPPY[1:]:
        assert np.corrcoef(shares[SLOPPY[0]], shares[name])[0, 1] > 0.3, name
    assert abs(np.corrcoef(shares[SLOPPY[0]], shares["slant"])[0, 1]) < 0.2


@pytest.mark.parametrize("unsteadiness", [0.0, 0.2])
def test_a_hand_differs_from_image_to_image_by_its_unsteadiness_and_stays_in_the_ranges(unsteadiness: float) -> None:
    ranges = replace(RANGES, unsteadiness=unsteadiness, pen=(4.0, 4.0))
    generator = np.random.default_rng(0)
    hand = draw_hand(HANDWRITTEN, ranges, generator)
    hand = replace(hand, habits={name: sum(getattr(ranges, name)) / 2 for name in CALM})
    varied = [vary_hand(hand, ranges, generator).habits for _ in range(2000)]
    for name in CALM:
        low, high = getattr(ranges, name)
        values = np.array([habits[name] for habits in varied])
        assert values.std() == pytest.approx(unsteadiness * (high - low) / 2, rel=0.1, abs=1e-9), name
        assert low <= values.min() <= values.max() <= high, name


def test_every_second_hand_has_the_handwritten_face_and_the_rest_share_the_others() -> None:
    faces = [hand.face for hand in make_hands(HANDWRITTEN, PRINTED, 10, RANGES, np.random.default_rng(0))]
    assert faces[::2] == [HANDWRITTEN] * 5
    assert faces[1::2] == list(PRINTED)
