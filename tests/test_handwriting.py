"""Hands: habits within their ranges, what each habit does to the strokes, and scraps that stay at the border."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.rendering.drawing import draw_grapheme, find_glyph
from okkhor.rendering.fonts import find_faces, shapes_well
from okkhor.rendering.glyphs import Glyph
from okkhor.rendering.graphemes import read_graphemes
from okkhor.rendering.hands import SLOPPY, Writer, draw_writer, vary_hand
from okkhor.rendering.handwriting import move_signs, write_glyph
from okkhor.rendering.ink import draw_image, draw_scraps
from okkhor.rendering.stroke_ends import draw_line_over_sign, move_end, redraw_both_ends, redraw_ends, redraw_head_line
from okkhor.rendering.strokes import Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH
from okkhor.settings import SETTINGS

RANGES = HandConfig()
FACE = find_faces(())[0]
NAMES = [field.name for field in fields(HandConfig) if field.name != "unsteadiness"]
CALM = dict.fromkeys(NAMES, 0.0) | {"size": 60.0, "aspect": 1.0, "pen": 4.0, "paper": 255.0}
CALM |= {"ascent": 1.0, "descent": 1.0}
CALM |= {"roundness": 0.05, "softness": 0.1}  # 0 would be another smoothing to OpenCV
"""A hand that writes what the font shows, 60 pixels high, black on white."""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def straight(start: tuple[float, float], end: tuple[float, float], num_points: int = 25) -> Points:
    """A stroke from one place to another, in letter bodies, of the pen's own width."""
    return np.column_stack([np.linspace(start, end, num_points), np.ones(num_points)]).astype(np.float32)


UPRIGHT = straight((0.0, 0.3), (0.0, 1.3))  # far from the head line
HEAD_LINE = straight((-0.5, 0.0), (0.5, 0.0))


def draw_ring() -> Points:
    """A closed stroke, which no change of ends touches."""
    angles = np.linspace(0, 2 * np.pi, 30)
    ring = np.column_stack([0.5 * np.cos(angles), 0.5 * np.sin(angles) + 0.7, np.ones(30)]).astype(np.float32)
    ring[-1] = ring[0]
    return ring


def make_glyph(*strokes: Points, parts: tuple[int, ...] = ()) -> Glyph:
    """These strokes, all of one part where the parts are not told."""
    parts = parts or (0,) * len(strokes)
    of_part = [[s for s, p in zip(strokes, parts, strict=True) if p == part] for part in sorted(set(parts))]
    centres = np.array([np.concatenate(group)[:, :2].mean(axis=0) for group in of_part], np.float32)
    boxes = np.repeat(centres[:, None], 2, axis=1)
    return replace(find_glyph(FACE, "ক"), strokes=list(strokes), parts=list(parts), boxes=boxes)


def write(glyph: Glyph, habits: Mapping[str, float]) -> list[Points]:
    """The strokes as a writer writes them who has no parts and no warp of his own."""
    return write_glyph(glyph, draw_writer(FACE, RANGES, generator()), habits, generator())


def length(stroke: Points) -> float:
    return float(np.hypot(*np.diff(stroke[:, :2], axis=0).T).sum())


# Habits


def draw_habits(num_writers: int) -> dict[str, NDArray[np.float64]]:
    """Of so many hands, the share of the range under each habit: 0 is the lowest value, 1 the highest."""
    random = generator()
    writers = [draw_writer(FACE, RANGES, random) for _ in range(num_writers)]
    shares = {}
    for name in NAMES:
        low, high = getattr(RANGES, name)
        shares[name] = (np.array([writer.habits[name] for writer in writers]) - low) / (high - low)
    return shares


def test_the_habits_of_many_hands_fill_each_range_and_keep_to_it() -> None:
    for name, shares in draw_habits(500).items():
        assert -1e-9 <= shares.min() < 0.05, name
        assert 0.95 < shares.max() <= 1 + 1e-9, name
        assert np.median(shares) == pytest.approx(0.5, abs=0.1), name


def test_a_hand_that_is_careless_in_one_habit_is_careless_in_the_others() -> None:
    shares = draw_habits(500)
    for name in SLOPPY[1:]:
        assert np.corrcoef(shares[SLOPPY[0]], shares[name])[0, 1] > 0.3, name
    assert abs(np.corrcoef(shares[SLOPPY[0]], shares["slant"])[0, 1]) < 0.2


def test_a_range_of_one_value_leaves_no_choice() -> None:
    ranges = replace(RANGES, slant=(0.2, 0.2))
    random = generator()
    for _ in range(20):
        writer = draw_writer(FACE, ranges, random)
        assert writer.habits["slant"] == vary_hand(writer.habits, ranges, random)["slant"] == 0.2


def test_a_hand_differs_from_image_to_image_by_its_unsteadiness_and_stays_in_the_ranges() -> None:
    ranges = replace(RANGES, unsteadiness=0.2)
    middle = {name: sum(getattr(ranges, name)) / 2 for name in NAMES}
    random = generator()
    hands = [vary_hand(middle, ranges, random) for _ in range(2000)]
    for name in NAMES:
        low, high = getattr(ranges, name)
        values = np.array([hand[name] for hand in hands])
        assert values.std() == pytest.approx(0.2 * (high - low) / 2, rel=0.1), name
        assert low <= values.min() < values.max() <= high, name


def test_a_hand_without_unsteadiness_is_always_the_same() -> None:
    habits = draw_writer(FACE, RANGES, generator()).habits
    assert vary_hand(habits, replace(RANGES, unsteadiness=0.0), generator()) == pytest.approx(habits)


def test_the_same_seed_gives_the_same_image_and_another_seed_another() -> None:
    images = [draw_grapheme("ক", draw_writer(FACE, RANGES, generator(s)), RANGES, generator(s)) for s in (0, 0, 1)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


@pytest.mark.parametrize("end", [0, 1], ids=["lowest", "highest"])
@pytest.mark.parametrize("name", NAMES)
def test_a_hand_at_the_end_of_what_settings_allow_leaves_ink_on_paper(name: str, end: int) -> None:
    value = (SETTINGS[f"hand.{name}"].low, SETTINGS[f"hand.{name}"].high)[end]
    changed: dict[str, Any] = {name: (value, value)}
    ranges = replace(RANGES, **changed)
    if name == "darkness":  # the ink is dark enough to be told from any paper
        ranges = replace(ranges, paper=(250, 255))
    for seed, text in enumerate(("ক", "র্ক্ষি", "ঁ")):
        image = draw_grapheme(text, draw_writer(FACE, ranges, generator(seed)), ranges, generator(seed))
        assert image.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
        if name != "paper":
            assert image.min() < np.median(image) - 30, text


# What the habits do


def find_steps(habits: Mapping[str, float]) -> NDArray[np.float64]:
    """(2, 2): where a step of a letter body to the right, and one downwards, lead in the image, in pixels."""
    ring = draw_ring()[:, :2].astype(np.float64)
    (seen,) = write(make_glyph(draw_ring()), habits)
    steps, *_ = np.linalg.lstsq(ring - ring.mean(axis=0), seen[:, :2] - seen[:, :2].mean(axis=0), rcond=None)
    return steps


def test_a_letter_is_as_high_and_as_wide_as_size_and_aspect_say() -> None:
    assert find_steps(CALM | {"size": 50.0, "aspect": 1.3}) == pytest.approx(np.diag([50 * 1.3, 50]), abs=0.1)


def test_upright_strokes_lean_to_the_right_by_the_slant() -> None:
    right, down = find_steps(CALM | {"slant": 0.25})
    assert down[0] / down[1] == pytest.approx(-0.25, abs=0.001)
    assert right[1] == pytest.approx(0, abs=0.1)


def test_lines_go_down_by_the_slope() -> None:
    right, down = find_steps(CALM | {"slope": 0.1})
    assert right[1] / right[0] == pytest.approx(0.1, abs=0.001)
    assert down[0] == pytest.approx(0, abs=0.1)


def test_a_hand_puts_the_letter_where_it_is_used_to() -> None:
    (stroke,) = write(make_glyph(UPRIGHT), CALM | {"right": 12.0, "down": -7.0})
    middle = (stroke[:, :2].min(axis=0) + stroke[:, :2].max(axis=0)) / 2
    assert middle == pytest.approx([IMAGE_WIDTH / 2 + 12, IMAGE_HEIGHT / 2 - 7], abs=0.01)


def test_no_point_of_any_grapheme_leaves_the_paper_where_the_hand_keeps_to_it() -> None:
    random = generator()
    for grapheme in read_graphemes()[::8]:
        if shapes_well(FACE, grapheme.text):
            writer = draw_writer(FACE, RANGES, random)
            hand = {**vary_hand(writer.habits, RANGES, random), "cut": 0.0}
            points = np.concatenate(write_glyph(find_glyph(FACE, grapheme.text), writer, hand, random))[:, :2]
            assert (points >= -1e-3).all(), grapheme.text
            assert (points <= np.array((IMAGE_WIDTH, IMAGE_HEIGHT)) + 1e-3).all(), grapheme.text


def test_a_letter_that_is_cut_leaves_the_paper_at_one_edge_by_a_fifth_of_its_size_at_most() -> None:
    writer, random = draw_writer(FACE, RANGES, generator()), generator()
    sides = np.zeros(4, int)  # left, above, right, below
    for _ in range(400):
        (stroke,) = write_glyph(make_glyph(draw_ring()), writer, CALM | {"cut": 1.0}, random)
        low, high = stroke[:, :2].min(axis=0), stroke[:, :2].max(axis=0)
        beyond = np.concatenate([-low, high - (IMAGE_WIDTH, IMAGE_HEIGHT)]) / np.tile(high - low, 2)
        assert 0.02 <= beyond.max() <= 0.2
        assert (np.sort(beyond)[:3] < 0).all()
        sides[beyond.argmax()] += 1
    assert sides.min() > 70


def test_a_tall_letter_is_cut_above_and_twice_as_often() -> None:
    writer, random = draw_writer(FACE, RANGES, generator()), generator()
    tall = make_glyph(straight((-0.2, -1.0), (0.2, 1.0)))
    tops = [write_glyph(tall, writer, CALM | {"cut": 0.3}, random)[0][:, 1].min() for _ in range(400)]
    assert 190 < sum(top < 0 for top in tops) < 290


@pytest.mark.parametrize(("ascent", "descent", "height"), [(1, 1, 2), (2, 1, 2.5), (1, 1.5, 2.25), (0.8, 1.6, 2.2)])
def test_what_stands_above_the_head_line_and_below_the_foot_is_as_high_as_the_hand_writes_it(
    ascent: float, descent: float, height: float
) -> None:
    ring = draw_ring()
    ring[:, 1] = 0.5 + 2 * (ring[:, 1] - 0.7)  # half a letter body above the head line, half a one below the foot
    (stroke,) = write(make_glyph(ring), CALM | {"ascent": ascent, "descent": descent, "size": 40.0})
    assert np.ptp(stroke[:, 1]) / 40 == pytest.approx(height, abs=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_the_head_line_begins_over_a_vowel_sign_as_often_as_the_hand_does(probability: float) -> None:
    sign, random = straight((-0.9, 0.05), (-1.0, 1.0)), generator()
    glyph = replace(make_glyph(sign, HEAD_LINE, UPRIGHT), begins_with_sign=True)
    writer, hand = draw_writer(FACE, RANGES, generator()), CALM | {"head_line_first": probability}
    longer = [write_glyph(glyph, writer, hand, random) for _ in range(400)]
    assert np.mean([len(strokes) > 3 for strokes in longer]) == pytest.approx(probability, abs=0.08)
    assert all(len(write(replace(glyph, begins_with_sign=False), hand)) == 3 for _ in range(20))


def test_a_line_over_a_sign_is_level_and_leads_from_before_the_sign_to_its_top() -> None:
    sign, random = straight((-0.9, 0.05), (-1.0, 1.0)), generator()
    for _ in range(50):
        *strokes, line = draw_line_over_sign([sign, HEAD_LINE], random)
        assert len(strokes) == 2
        assert np.ptp(line[:, 1]) == 0
        assert -1.6 <= line[0, 0] <= -0.9
        assert line[-1, 0] == pytest.approx(-0.9 + 0.2, abs=0.06)
    assert len(draw_line_over_sign([UPRIGHT], random)) == 1  # nothing reaches up to the head line


def test_the_signs_that_hang_from_the_head_line_before_their_letter_are_known() -> None:
    begins = [
        text for text in ("ক", "কা", "কি", "কে", "কৈ", "কো", "কৌ", "কী") if find_glyph(FACE, text).begins_with_sign
    ]
    assert begins == ["কে", "কৈ", "কো", "কৌ"]


def test_the_strokes_of_a_sign_are_moved_together_and_apart_from_the_letter() -> None:
    sign = (straight((0.8, 0.0), (0.9, 0.9)), straight((1.0, 0.1), (1.2, 0.5)))
    glyph = make_glyph(UPRIGHT, *sign, parts=(0, 1, 1))
    letter, *moved = move_signs(glyph, 0.2, generator())
    before, after = np.concatenate(sign)[:, :2], np.concatenate(moved)[:, :2]
    places = np.column_stack([before, np.ones(len(before))])
    mapping, *_ = np.linalg.lstsq(places, after, rcond=None)  # shifted, scaled and turned: an affine map
    np.testing.assert_allclose(places @ mapping, after, atol=1e-4)
    as_sign = np.column_stack([UPRIGHT[:, :2], np.ones(len(UPRIGHT))]) @ mapping
    assert np.abs(as_sign - letter[:, :2]).max() > 0.01
    still = move_signs(glyph, 0.0, generator())
    np.testing.assert_allclose(np.concatenate(still), np.concatenate(glyph.strokes), atol=1e-6)


@pytest.mark.parametrize("pen", [3.0, 6.0])
def test_a_line_is_as_wide_as_the_pen(pen: float) -> None:
    image = draw_image([upright_pixels(pen)], CALM | {"pen": pen}, generator())
    ink = (255.0 - image[60:80]).sum(axis=1) / (255.0 - image[60:80].min(axis=1))
    assert ink.mean() == pytest.approx(pen, abs=0.7)


def upright_pixels(pen: float) -> Points:
    """A line down the middle of the image, x, y and width in pixels."""
    return np.column_stack([np.full(20, 118.0), np.linspace(30, 110, 20), np.full(20, pen)]).astype(np.float32)


def test_a_writer_keeps_his_parts_and_warp_from_image_to_image() -> None:
    habits = CALM | {"parts": 0.3, "warp": 0.1}

    def mean_shape(writer: Writer) -> NDArray[np.float64]:
        random = generator(7)
        images = [np.concatenate(write_glyph(make_glyph(draw_ring()), writer, habits, random)) for _ in range(100)]
        return np.mean([points[:, :2] for points in images], axis=0)

    one, other = (draw_writer(FACE, RANGES, generator(seed)) for seed in (0, 1))
    assert np.abs(mean_shape(one) - mean_shape(other)).max() > 2  # pixels; the images' own changes average out


# Ends of strokes


@pytest.mark.parametrize("reach", [0.05, 0.3])
def test_an_end_is_drawn_on_in_its_own_direction(reach: float) -> None:
    longer = move_end(UPRIGHT, reach, curl=0.0)
    assert longer[-1, :2] == pytest.approx(UPRIGHT[-1, :2] + (0, reach), abs=1e-4)
    np.testing.assert_array_equal(longer[: len(UPRIGHT)], UPRIGHT)


@pytest.mark.parametrize("reach", [0.05, 0.2, 0.8])
def test_an_end_is_cut_back_by_its_length_or_a_third_of_the_stroke(reach: float) -> None:
    shorter = move_end(UPRIGHT, -reach, curl=0.0)
    step = length(UPRIGHT) / (len(UPRIGHT) - 1)
    assert length(UPRIGHT) - length(shorter) == pytest.approx(min(reach, length(UPRIGHT) / 3), abs=step)
    np.testing.assert_array_equal(shorter, UPRIGHT[: len(shorter)])


def test_a_cut_end_does_not_depend_on_how_far_the_other_end_was_drawn_on() -> None:
    step = length(UPRIGHT) / (len(UPRIGHT) - 1)
    for reach in (0.003, 0.03, 0.3):
        stroke = move_end(UPRIGHT[::-1], reach, curl=0.0)[::-1]
        assert length(stroke) - length(move_end(stroke, -0.08, curl=0.0)) == pytest.approx(0.08, abs=step)


@pytest.mark.parametrize("overshoot", [-0.15, 0.0, 0.3])
def test_a_hand_that_overshoots_has_longer_strokes(overshoot: float) -> None:
    random = generator()
    lengths = [length(redraw_both_ends(UPRIGHT, CALM | {"overshoot": overshoot}, random)) for _ in range(400)]
    assert np.mean(lengths) - length(UPRIGHT) == pytest.approx(2 * overshoot, abs=0.03)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_a_head_line_is_left_out_or_lifted_as_often_as_the_hand_does(probability: float) -> None:
    random = generator()
    missing = [redraw_head_line(HEAD_LINE, CALM | {"head_line_missing": probability}, random) for _ in range(1000)]
    lifted = [redraw_head_line(HEAD_LINE, CALM | {"head_line_lift": probability}, random) for _ in range(1000)]
    assert np.mean([not strokes for strokes in missing]) == pytest.approx(probability, abs=0.05)
    assert np.mean([len(strokes) == 2 for strokes in lifted]) == pytest.approx(probability, abs=0.05)
    for left, right in (strokes for strokes in lifted if len(strokes) == 2):
        assert left[-1, 0] < right[0, 0]
        assert length(left) + length(right) < length(HEAD_LINE)


def test_no_other_stroke_is_left_out_and_a_glyph_never_as_a_whole() -> None:
    hand = CALM | {"head_line_missing": 1.0}
    assert len(redraw_ends([HEAD_LINE, UPRIGHT], hand, generator())) == 1
    assert redraw_ends([HEAD_LINE], hand, generator())


def test_a_ring_stays_closed() -> None:
    ring = draw_ring()
    (redrawn,) = redraw_ends([ring], CALM | {"overshoot": 0.3}, generator())
    np.testing.assert_array_equal(redrawn, ring)


# Scraps


def test_scraps_lie_at_the_border_and_never_in_the_middle() -> None:
    random = generator()
    hand = CALM | {"pen": 8.0}
    for _ in range(200):
        image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), 255, np.uint8)
        draw_scraps(image, hand, random)
        assert (image < 255).any()
        quarter_down, quarter_across = IMAGE_HEIGHT // 4, IMAGE_WIDTH // 4
        assert (image[quarter_down:-quarter_down, quarter_across:-quarter_across] == 255).all()


def test_a_pale_line_of_the_form_leaves_the_letter_as_dark_as_it_is() -> None:
    for seed in range(30):
        image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), 20, np.uint8)  # ink everywhere
        draw_scraps(image, CALM | {"darkness": 30.0}, generator(seed))
        assert image.max() == 20


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_images_have_scraps_as_often_as_the_hand_does(probability: float) -> None:
    random = generator()
    images = [draw_image([upright_pixels(4.0)], CALM | {"scraps": probability}, random) for _ in range(300)]
    assert np.mean([has_ink_at_the_border(image) for image in images]) == pytest.approx(probability, abs=0.08)


def has_ink_at_the_border(image: NDArray[np.uint8]) -> bool:
    inner = np.zeros_like(image, bool)
    inner[26:114, 110:126] = True  # around the line in the middle
    return bool((image[~inner] < 250).any())
