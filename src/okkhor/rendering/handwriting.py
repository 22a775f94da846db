"""From a glyph's strokes to pen points in pixels of an image, as a hand writes them this time: `write_glyph`."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from okkhor.rendering.fonts import BODY_HEIGHT
from okkhor.rendering.hands import ZONE_EDGES, Habits, Hand, Warp, draw_warp
from okkhor.rendering.strokes import POINT_STEP, Glyph, Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

Floats = NDArray[np.float64]

OWN_SHARE = 0.6  # of the strength of warp and zones that is an image's own; the rest is the hand's
LARGEST = (0.94, 0.95)  # share of the image's width and height that a glyph may have
SIGN_TURN = 2.0  # radians for each letter body of the habit `signs`
THINNEST = 1.8  # pixels, of a pen
THICKEST = 0.13  # letter bodies, of a pen: a thicker one fills the loops of conjuncts
LOOP_REACH = 0.16  # letter bodies from a loop's middle, standard deviation of where points are moved away from it
PRESSURE_PERIOD = 6  # points between two changes of pressure, about a quarter of a letter body
CUT_SIDES = ((1, -1), (1, 1), (0, -1), (0, 1))  # axis and direction: above, below, left, right
TALL = 0.5  # letter bodies above the head line, from which on a glyph is likelier to leave the box of a form above
TALL_CUT = 2.0  # times the probability of a cut
CUT_OFF = (0.02, 0.2)  # share of the glyph's height or width beyond the image's edge

# Ends of strokes:
HEAD_LINE_REACH = 0.16  # letter bodies: a level end that is no farther from the head line belongs to it
SIGN_OVERLAP = 0.2  # letter bodies, by which a line over a vowel sign reaches into the sign's own top
SIGN_OVERHANG = (-0.1, 0.6)  # letter bodies, by which this line begins before the sign
HEAD_LINE_SPREAD = 0.12  # letter bodies, standard deviation of the lengths added to the ends of a head line
OVERSHOOT_SPREAD = 0.06  # letter bodies, the same at the ends of other strokes
CURL = 0.5  # radians, standard deviation of the direction in which a stroke is drawn on
SHORTEST = 5  # points of a stroke whose ends may change
LIFTABLE = 12  # points: a longer head line may have a gap


def write_glyph(glyph: Glyph, hand: Hand, generator: Generator) -> list[Points]:
    """Return the strokes that the hand draws, each (N, 3) float32: x, y and the pen's width in pixels."""
    habits = hand.habits
    strokes = [round_corners(stroke, habits["roundness"]) for stroke in move_signs(glyph, habits["signs"], generator)]
    strokes = redraw_ends(strokes, habits, generator)
    if glyph.begins_with_sign and generator.random() < habits["head_line_first"]:
        strokes = draw_line_over_sign(strokes, generator)
    points = np.concatenate(strokes).astype(np.float64)
    lengths = [len(stroke) for stroke in strokes]
    places = widen_loops(points[:, :2], glyph.loops, habits["loops"], generator)
    places = loosen(places, lengths, habits, generator)
    pixels, scale = place_on_paper(reshape(places, hand, generator), habits, generator)
    width = 1 + habits["contrast"] * (np.clip(points[:, 2], 0.4, 2.2) - 1)
    pen = min(max(habits["pen"], THINNEST), THICKEST * scale)
    levels = generator.normal(0, habits["pressure"], len(points) // PRESSURE_PERIOD + 2)
    pressure = np.exp(np.interp(np.arange(len(points)) / PRESSURE_PERIOD, np.arange(len(levels)), levels))
    return np.split(np.column_stack([pixels, pen * width * pressure]).astype(np.float32), np.cumsum(lengths)[:-1])


def move_signs(glyph: Glyph, strength: float, generator: Generator) -> list[Points]:
    """Return the strokes; those of each part are shifted, scaled and turned together."""
    num_parts = len(glyph.boxes)
    shifts = generator.normal(0, strength, (num_parts, 2))
    scales = np.exp(generator.normal(0, strength, (num_parts, 2)))
    turns = generator.normal(0, SIGN_TURN * strength, num_parts)
    centres = glyph.boxes.mean(axis=1)
    moved = []
    for stroke, part in zip(glyph.strokes, glyph.owners, strict=True):
        cosine, sine = np.cos(turns[part]), np.sin(turns[part])
        stroke = stroke.copy()
        scaled = (stroke[:, :2] - centres[part]) * scales[part]
        stroke[:, :2] = scaled @ np.array([[cosine, sine], [-sine, cosine]]) + centres[part] + shifts[part]
        moved.append(stroke)
    return moved


def round_corners(stroke: Points, roundness: float) -> Points:
    """Smooth a stroke over about `roundness` points; its ends stay, and a ring stays closed."""
    reach = min(8, len(stroke) - 2)
    if reach < 2:
        return stroke
    if np.array_equal(stroke[0, :2], stroke[-1, :2]):
        before, after = stroke[-1 - reach : -1], stroke[1 : 1 + reach]
    else:
        before, after = 2 * stroke[0] - stroke[reach:0:-1], 2 * stroke[-1] - stroke[-2 : -2 - reach : -1]
    smooth = cv2.GaussianBlur(np.concatenate([before, stroke, after]), (1, 2 * reach + 1), sigmaX=1, sigmaY=roundness)
    return np.asarray(smooth[reach:-reach], np.float32)


def redraw_ends(strokes: Sequence[Points], habits: Habits, generator: Generator) -> list[Points]:
    """Return the strokes, each (N, 3), with other ends; a head line may get a gap or be left out."""
    redrawn: list[Points] = []
    for stroke in strokes:
        if len(stroke) >= SHORTEST and not np.array_equal(stroke[0, :2], stroke[-1, :2]):
            redrawn += redraw_head_line(redraw_both_ends(stroke, habits, generator), habits, generator)
        else:
            redrawn.append(stroke)
    return redrawn or list(strokes)


def redraw_both_ends(stroke: Points, habits: Habits, generator: Generator) -> Points:
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


def redraw_head_line(stroke: Points, habits: Habits, generator: Generator) -> list[Points]:
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


def draw_line_over_sign(strokes: Sequence[Points], generator: Generator) -> list[Points]:
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


def widen_loops(points: Floats, loops: Points, widening: float, generator: Generator) -> Floats:
    """Move the points (N, 2) away from the middles of small loops (K, 2), by another amount for each loop."""
    for middle in loops:
        away = points - middle
        nearness = np.exp(-(away**2).sum(axis=1) / (2 * LOOP_REACH**2))
        points = points + away * (nearness * widening * generator.uniform(0, 2))[:, None]
    return points


def loosen(points: Floats, lengths: Sequence[int], habits: Habits, generator: Generator) -> Floats:
    """Shift, turn, scale and bend each stroke a little by itself, with a tremor; points: (N, 2) of all strokes."""
    starts = np.cumsum([0, *lengths[:-1]])
    counts = np.array(lengths)
    centres = np.repeat(np.add.reduceat(points, starts) / counts[:, None], counts, axis=0)
    amounts = generator.normal(0, habits["looseness"], (len(counts), 4)) * (1, 1, 1.5, 1.5)
    chords = points[starts + counts - 1] - points[starts]
    bows = generator.normal(0, habits["bow"], len(counts))[:, None] * chords[:, ::-1] * (1, -1)
    x, y = (points - centres).T
    dx, dy, turn, growth = np.repeat(amounts, counts, axis=0).T
    moved = centres + np.stack([x * (1 + growth) - y * turn + dx, y * (1 + growth) + x * turn + dy], axis=1)
    along = (np.arange(len(points)) - np.repeat(starts, counts)) / np.repeat(np.maximum(counts - 1, 1), counts)
    bent = np.sin(np.pi * along)[:, None] * np.repeat(bows, counts, axis=0)
    return moved + bent + generator.normal(0, habits["tremor"], points.shape)


def reshape(places: Floats, hand: Hand, generator: Generator) -> Floats:
    """Move points (N, 2), in letter bodies, by the hand's habits of height, zones, warp, aspect, slant and slope."""
    own, shared, habits = OWN_SHARE, np.sqrt(1 - OWN_SHARE**2), hand.habits
    x, y = places.T
    y = np.where(y < 0, y * habits["ascent"], np.where(y > 1, 1 + (y - 1) * habits["descent"], y))
    zones = habits["parts"] * (shared * hand.zones + own * generator.normal(0, 1, hand.zones.shape))
    places = np.stack([scale_zones(x, zones[0]), scale_zones(y, zones[1])], axis=1)
    moves = shared * displacement(places, hand.warp) + own * displacement(places, draw_warp(generator))
    matrix = np.array([[habits["aspect"], habits["slope"] * habits["aspect"]], [-habits["slant"], 1.0]])
    return (places + habits["warp"] * moves) @ matrix


def scale_zones(values: Floats, zones: Floats) -> Floats:
    """Scale an axis (N,) piecewise: by exp(zone) between two ZONE_EDGES."""
    mapped = np.concatenate([[0.0], np.cumsum(np.diff(ZONE_EDGES) * np.exp(zones))]) + ZONE_EDGES[0]
    return np.interp(values, ZONE_EDGES, mapped)


def displacement(places: Floats, warp: Warp) -> Floats:
    """Return the shift (N, 2) of points (N, 2) by a warp."""
    amplitude, x_frequency, y_frequency, phase = np.moveaxis(warp, -1, 0)[..., None]
    return (amplitude * np.sin(x_frequency * places[:, 0] + y_frequency * places[:, 1] + phase)).sum(axis=1).T


def place_on_paper(places: Floats, habits: Habits, generator: Generator) -> tuple[Floats, float]:
    """Return points (N, 2) in pixels of the image, and the scale in pixels per letter body."""
    low, high = places.min(axis=0), places.max(axis=0)
    extent = np.maximum(high - low, 1e-3)
    limit = min(LARGEST[0] * IMAGE_WIDTH / extent[0], LARGEST[1] * IMAGE_HEIGHT / extent[1])
    scale = min(habits["size"], limit)
    room = (np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) - extent * scale) / 2
    shift = np.clip((habits["right"], habits["down"]), -room, room)
    is_tall = low[1] < -TALL
    if generator.random() < habits["cut"] * (TALL_CUT if is_tall else 1):
        axis, side = CUT_SIDES[0 if is_tall else generator.integers(len(CUT_SIDES))]
        shift[axis] = side * (room[axis] + generator.uniform(*CUT_OFF) * extent[axis] * scale)
    return (places - (low + high) / 2) * scale + np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) / 2 + shift, scale
