"""The ends of strokes as a hand draws them: `redraw_ends` makes them longer, shorter or curled."""

from collections.abc import Sequence

import numpy as np

from okkhor.rendering.fonts import BODY_HEIGHT
from okkhor.rendering.hands import Habits
from okkhor.rendering.strokes import POINT_STEP, Points

HEAD_LINE_REACH = 0.16  # letter bodies: a level end that is no farther from the head line belongs to it
SIGN_OVERLAP = 0.2  # letter bodies, by which a line over a vowel sign reaches into the sign's own top
SIGN_OVERHANG = (-0.1, 0.6)  # letter bodies, by which this line begins before the sign
HEAD_LINE_SPREAD = 0.12  # letter bodies, standard deviation of the lengths added to the ends of a head line
OVERSHOOT_SPREAD = 0.06  # letter bodies, the same at the ends of other strokes
CURL = 0.5  # radians, standard deviation of the direction in which a stroke is drawn on
SHORTEST = 5  # points of a stroke whose ends may change
LIFTABLE = 12  # points: a longer head line may have a gap


def redraw_ends(strokes: Sequence[Points], habits: Habits, generator: np.random.Generator) -> list[Points]:
    """Return the strokes, each (N, 3), with other ends; a head line may get a gap or be left out."""
    redrawn: list[Points] = []
    for stroke in strokes:
        if len(stroke) >= SHORTEST and not np.array_equal(stroke[0, :2], stroke[-1, :2]):
            redrawn += redraw_head_line(redraw_both_ends(stroke, habits, generator), habits, generator)
        else:
            redrawn.append(stroke)
    return redrawn or list(strokes)


def redraw_both_ends(stroke: Points, habits: Habits, generator: np.random.Generator) -> Points:
    """Draw both ends of a stroke on, or cut them back."""
    lengths = generator.normal(0, 1, 2)
    curls = generator.normal(0, CURL, 2)
    for length, curl in zip(lengths, curls, strict=True):
        stroke = stroke[::-1]
        if is_head_line_end(stroke):
            stroke = move_end(stroke, habits["head_line"] + HEAD_LINE_SPREAD * length, 0.1 * curl)
        else:
            stroke = move_end(stroke, habits["overshoot"] + OVERSHOOT_SPREAD * length, curl)
    return stroke


def is_head_line_end(stroke: Points) -> bool:
    """Return whether the last end of a stroke is level and on the head line."""
    if len(stroke) < SHORTEST:
        return False
    dx, dy = stroke[-1, :2] - stroke[-4, :2]
    return bool(abs(stroke[-1, 1]) < HEAD_LINE_REACH and abs(dx) > 2 * abs(dy))


def move_end(stroke: Points, length: float, curl: float) -> Points:
    """Draw the last end of a stroke on by `length` letter bodies, turned by `curl` radians.

    A negative length cuts the end back, by a third of the stroke at most.
    """
    if length <= 0:
        step = max(float(np.hypot(*(stroke[-1, :2] - stroke[-2, :2]))), 1e-3)
        return stroke[: len(stroke) - min(round(-length / step), len(stroke) // 3)]
    reach = min(4, len(stroke))
    away = (stroke[-1, :2] - stroke[-reach, :2]).astype(float)
    away *= length / max(float(np.hypot(*away)), 1e-6)
    tips = np.repeat(stroke[-1:], 3, axis=0)
    for number, share in enumerate((0.35, 0.7, 1.0)):
        cosine, sine = np.cos(curl * share), np.sin(curl * share)
        tips[number, 0] += share * (cosine * away[0] - sine * away[1])
        tips[number, 1] += share * (sine * away[0] + cosine * away[1])
    return np.concatenate([stroke, tips])


def redraw_head_line(stroke: Points, habits: Habits, generator: np.random.Generator) -> list[Points]:
    """Return a head line whole, with a gap or not at all; any other stroke unchanged."""
    if len(stroke) < SHORTEST or (np.abs(stroke[:, 1]) >= HEAD_LINE_REACH).any():
        return [stroke]
    missing, lift = generator.random(2)
    if missing < habits["head_line_missing"]:
        return []
    if lift < habits["head_line_lift"] and len(stroke) > LIFTABLE:
        gap = int(generator.integers(4, len(stroke) - 6))
        return [stroke[:gap], stroke[gap + 2 :]]
    return [stroke]


def draw_line_over_sign(strokes: Sequence[Points], generator: np.random.Generator) -> list[Points]:
    """Add a head line that begins over the vowel sign before the letter to the strokes, each (N, 3).

    A font leads the head line down into ে; a hand draws it on to the left, over the sign.
    """
    points = np.concatenate(strokes)
    level = points[np.abs(points[:, 1]) < HEAD_LINE_REACH]
    if not len(level):
        return list(strokes)
    start = points[:, 0].min() - generator.uniform(*SIGN_OVERHANG)
    end = level[:, 0].min() + SIGN_OVERLAP
    top = level[level[:, 0] <= end, 1].min()
    places = np.arange(start, end, POINT_STEP / BODY_HEIGHT)
    line = np.column_stack([places, np.full(len(places), top), np.ones(len(places))])
    return [*strokes, line.astype(np.float32)]
