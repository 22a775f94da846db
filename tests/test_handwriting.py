"""What each habit of a hand does to the strokes of a glyph, and to their ends."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from helpers import CALM
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.rendering.fonts import find_faces, shapes_well
from okkhor.rendering.graphemes import read_graphemes
from okkhor.rendering.hands import Hand, draw_hand, vary_hand
from okkhor.rendering.handwriting import (
    draw_line_over_sign,
    move_end,
    move_signs,
    redraw_both_ends,
    redraw_ends,
    redraw_head_line,
    write_glyph,
)
from okkhor.rendering.strokes import Glyph, Points, trace_glyph
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH


def straight(start: tuple[float, float], end: tuple[float, float]) -> Points:
    """A stroke of 25 points from one place to another, in letter bodies, of the pen's own width."""
    return np.column_stack([np.linspace(start, end, 25), np.ones(25)]).astype(np.float32)


Random = np.random.Generator

FACE, RANGES = find_faces(())[0], HandConfig()
PAPER = np.array((IMAGE_WIDTH, IMAGE_HEIGHT))
UPRIGHT = straight((0.0, 0.3), (0.0, 1.3))  # far from the head line; 24 steps
HEAD_LINE = straight((-0.5, 0.0), (0.5, 0.0))
STEP = 1 / 24  # letter bodies
ANGLES = np.linspace(0, 2 * np.pi, 30)
RING = np.column_stack([0.5 * np.cos(ANGLES), 0.5 * np.sin(ANGLES) + 0.7, np.ones(30)]).astype(np.float32)
RING[-1] = RING[0]  # a closed stroke, whose ends nothing changes


@pytest.fixture
def random() -> Random:
    return np.random.default_rng(0)


def make_hand(habits: Mapping[str, float], seed: int = 0) -> Hand:
    return replace(draw_hand(FACE, RANGES, np.random.default_rng(seed)), habits={**CALM, **habits})


def make_glyph(*strokes: Points, owners: tuple[int, ...] = ()) -> Glyph:
    """A glyph of these strokes, by default all of one part."""
    owners = owners or (0,) * len(strokes)
    parts = [[s for s, owner in zip(strokes, owners, strict=True) if owner == part] for part in sorted(set(owners))]
    centres = np.array([np.concatenate(part)[:, :2].mean(axis=0) for part in parts], np.float32)
    boxes = np.repeat(centres[:, None], 2, axis=1)
    return replace(trace_glyph(FACE, "ক"), strokes=list(strokes), owners=list(owners), boxes=boxes)


def write_ring(habits: Mapping[str, float]) -> Points:
    """The ring as a calm hand with these habits writes it."""
    (stroke,) = write_glyph(make_glyph(RING), make_hand(habits), np.random.default_rng(0))
    return stroke


@pytest.mark.parametrize(
    ("habits", "right", "down"),
    [
        ({"size": 50.0, "aspect": 1.3}, (65, 0), (0, 50)),
        ({"slant": 0.25}, (60, 0), (-15, 60)),  # an upright stroke leans to the right
        ({"slope": 0.1}, (60, 6), (0, 60)),  # a line goes down
    ],
)
def test_a_letter_has_the_size_aspect_slant_and_slope_of_its_hand(
    habits: dict[str, float], right: tuple[float, float], down: tuple[float, float]
) -> None:
    """right, down: where a step of a letter body to the right, and one downwards, lead in the image, in pixels."""
    ring, seen = RING[:, :2].astype(np.float64), write_ring(habits)[:, :2]
    steps, *_ = np.linalg.lstsq(ring - ring.mean(axis=0), seen - seen.mean(axis=0), rcond=None)
    assert steps == pytest.approx(np.array((right, down)), abs=0.1)


def test_a_hand_puts_the_letter_where_it_is_used_to() -> None:
    stroke = write_ring({"right": 12.0, "down": -7.0})
    middle = (stroke[:, :2].min(axis=0) + stroke[:, :2].max(axis=0)) / 2
    assert middle == pytest.approx(PAPER / 2 + (12, -7), abs=0.01)


def test_no_point_of_any_grapheme_leaves_the_paper_where_the_hand_keeps_to_it(random: Random) -> None:
    ranges = replace(RANGES, cut=(0.0, 0.0))
    for text in [grapheme.text for grapheme in read_graphemes()[::40] if shapes_well(FACE, grapheme.text)]:
        hand = vary_hand(draw_hand(FACE, ranges, random), ranges, random)
        points = np.concatenate(write_glyph(trace_glyph(FACE, text), hand, random))[:, :2]
        assert (points >= -1e-3).all(), text
        assert (points <= PAPER + 1e-3).all(), text


def test_a_letter_that_is_cut_leaves_the_paper_at_one_edge_by_a_fifth_of_its_size_at_most(random: Random) -> None:
    sides = np.zeros(4, int)  # left, above, right, below
    for _ in range(400):
        (stroke,) = write_glyph(make_glyph(RING), make_hand({"cut": 1.0}), random)
        low, high = stroke[:, :2].min(axis=0), stroke[:, :2].max(axis=0)
        beyond = np.concatenate([-low, high - PAPER]) / np.tile(high - low, 2)
        assert 0.02 <= beyond.max() <= 0.2
        assert (np.sort(beyond)[:3] < 0).all()
        sides[beyond.argmax()] += 1
    assert sides.min() > 70


@pytest.mark.parametrize(("ascent", "descent", "height"), [(1, 1, 2), (2, 1, 2.5), (1, 1.5, 2.25), (0.8, 1.6, 2.2)])
def test_what_stands_above_the_head_line_and_below_the_foot_is_as_high_as_the_hand_writes_it(
    ascent: float, descent: float, height: float, random: Random
) -> None:
    ring = RING.copy()
    ring[:, 1] = 0.5 + 2 * (ring[:, 1] - 0.7)  # half a letter body above the head line, half a one below the foot
    hand = make_hand({"ascent": ascent, "descent": descent, "size": 40.0})
    (stroke,) = write_glyph(make_glyph(ring), hand, random)
    assert np.ptp(stroke[:, 1]) / 40 == pytest.approx(height, abs=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_the_head_line_begins_over_a_vowel_sign_as_often_as_the_hand_does(probability: float, random: Random) -> None:
    hand = make_hand({"head_line_first": probability})
    glyph = make_glyph(straight((-0.9, 0.05), (-1.0, 1.0)), HEAD_LINE, UPRIGHT)
    with_sign = replace(glyph, begins_with_sign=True)
    longer = [len(write_glyph(with_sign, hand, random)) == 4 for _ in range(400)]
    assert np.mean(longer) == pytest.approx(probability, abs=0.08)
    assert all(len(write_glyph(replace(glyph, begins_with_sign=False), hand, random)) == 3 for _ in range(20))


def test_the_strokes_of_a_sign_are_moved_together_and_apart_from_the_letter(random: Random) -> None:
    sign = (straight((0.8, 0.0), (0.9, 0.9)), straight((1.0, 0.1), (1.2, 0.5)))
    glyph = make_glyph(UPRIGHT, *sign, owners=(0, 1, 1))
    letter, *moved = move_signs(glyph, 0.2, random)
    before, after = np.concatenate(sign)[:, :2], np.concatenate(moved)[:, :2]
    places = np.column_stack([before, np.ones(len(before))])
    mapping, *_ = np.linalg.lstsq(places, after, rcond=None)  # shifted, scaled and turned: an affine map
    np.testing.assert_allclose(places @ mapping, after, atol=1e-4)
    as_sign = np.column_stack([UPRIGHT[:, :2], np.ones(len(UPRIGHT))]) @ mapping
    assert np.abs(as_sign - letter[:, :2]).max() > 0.01
    still = move_signs(glyph, 0.0, random)
    np.testing.assert_allclose(np.concatenate(still), np.concatenate(glyph.strokes), atol=1e-6)


def test_a_hand_keeps_its_zones_and_warp_from_image_to_image() -> None:
    def mean_shape(seed: int) -> NDArray[np.float64]:
        random, hand = np.random.default_rng(7), make_hand({"parts": 0.3, "warp": 0.1}, seed)
        images = [write_glyph(make_glyph(RING), hand, random)[0][:, :2] for _ in range(100)]
        return np.mean(images, axis=0)

    assert np.abs(mean_shape(0) - mean_shape(1)).max() > 2  # pixels; the images' own changes average out


def length(stroke: Points) -> float:
    return float(np.hypot(*np.diff(stroke[:, :2], axis=0).T).sum())


@pytest.mark.parametrize(("by", "expected"), [(0.05, 1.05), (0.3, 1.3), (-0.05, 0.95), (-0.2, 0.8), (-0.8, 2 / 3)])
def test_an_end_is_drawn_straight_on_or_cut_back_by_a_third_at_most(by: float, expected: float) -> None:
    moved = move_end(UPRIGHT, by, curl=0.0)
    assert length(moved) == pytest.approx(expected, abs=STEP)
    assert np.ptp(moved[:, 0]) == 0
    np.testing.assert_array_equal(moved[: len(UPRIGHT)], UPRIGHT[: len(moved)])


@pytest.mark.parametrize("overshoot", [-0.15, 0.0, 0.3])
def test_a_hand_that_overshoots_has_longer_strokes(overshoot: float, random: Random) -> None:
    lengths = [length(redraw_both_ends(UPRIGHT, CALM | {"overshoot": overshoot}, random)) for _ in range(400)]
    assert np.mean(lengths) - 1 == pytest.approx(2 * overshoot, abs=0.03)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_head_line_is_left_out_or_lifted_as_often_as_the_hand_does(probability: float, random: Random) -> None:
    missing = [redraw_head_line(HEAD_LINE, CALM | {"head_line_missing": probability}, random) for _ in range(1000)]
    lifted = [redraw_head_line(HEAD_LINE, CALM | {"head_line_lift": probability}, random) for _ in range(1000)]
    assert np.mean([not strokes for strokes in missing]) == pytest.approx(probability, abs=0.05)
    assert np.mean([len(strokes) == 2 for strokes in lifted]) == pytest.approx(probability, abs=0.05)
    for left, right in (strokes for strokes in lifted if len(strokes) == 2):
        assert left[-1, 0] < right[0, 0]
        assert length(left) + length(right) < length(HEAD_LINE)


def test_no_other_stroke_is_left_out_a_glyph_never_as_a_whole_and_a_closed_one_stays_closed(random: Random) -> None:
    habits = CALM | {"head_line_missing": 1.0}
    assert len(redraw_ends([HEAD_LINE, UPRIGHT], habits, random)) == 1
    assert redraw_ends([HEAD_LINE], habits, random)
    closed = np.concatenate([UPRIGHT, UPRIGHT[::-1]])
    (redrawn,) = redraw_ends([closed], CALM | {"overshoot": 0.3}, random)
    np.testing.assert_array_equal(redrawn, closed)


def test_a_line_over_a_sign_is_level_and_leads_from_before_the_sign_to_its_top(random: Random) -> None:
    sign = straight((-0.9, 0.05), (-1.0, 1.0))
    for _ in range(50):
        *strokes, line = draw_line_over_sign([sign, HEAD_LINE], random)
        assert len(strokes) == 2
        assert np.ptp(line[:, 1]) == 0
        assert -1.6 <= line[0, 0] <= -0.9
        assert line[-1, 0] == pytest.approx(-0.9 + 0.2, abs=0.06)
    assert len(draw_line_over_sign([UPRIGHT], random)) == 1  # nothing reaches up to the head line
