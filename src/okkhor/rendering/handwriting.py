"""How a writer writes a glyph this time: from its strokes to pen points in pixels of the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.glyphs import Glyph
from okkhor.rendering.hands import Hand, Warp, Writer, draw_warp
from okkhor.rendering.stroke_ends import draw_line_over_sign, redraw_ends
from okkhor.rendering.strokes import Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

OWN_SHARE = 0.6  # of a warp's and the parts' strength that is an image's own, the rest is its writer's
LARGEST = (0.94, 0.95)  # share of the image's width and height that a glyph may have
SIGN_TURN = 2.0  # radians for each letter body of hand.signs
THINNEST = 1.8  # pixels, of a pen
THICKEST = 0.13  # letter bodies, of a pen: a thicker one fills the loops of conjuncts
KNOT_REACH = 0.16  # letter bodies from a knot, within which points are moved away from it
PRESSURE_PERIOD = 6  # points between two changes of pressure, about a quarter of a letter body
CUT_SIDES = ((1, -1), (1, 1), (0, -1), (0, 1))  # axis and direction: above, below, left, right
TALL = 0.5  # letter bodies over the head line, from which on a glyph is likelier to leave the box of a form above
TALL_CUT = 2.0  # times the probability of a cut
CUT_OFF = (0.02, 0.2)  # share of the glyph's height or width beyond the image's edge
# Letter bodies, for both axes; no glyph reaches farther out than 3.5.
KNOTS = np.array([-6.0, -0.6, 0.0, 0.6, 1.2, 6.0])


def write_glyph(glyph: Glyph, writer: Writer, hand: Hand, generator: np.random.Generator) -> list[Points]:
    """The strokes of a glyph as this writer draws them: each (N, 3) float32: x, y and the pen's width in pixels."""
    strokes = [round_corners(stroke, hand["roundness"]) for stroke in move_signs(glyph, hand["signs"], generator)]
    strokes = redraw_ends(strokes, hand, generator)
    if glyph.begins_with_sign and generator.random() < hand["head_line_first"]:
        strokes = draw_line_over_sign(strokes, generator)
    points = np.concatenate(strokes).astype(np.float64)
    lengths = [len(stroke) for stroke in strokes]
    places = widen_knots(points[:, :2], glyph.knots, hand["loops"], generator)
    places = loosen(places, lengths, hand, generator)
    pixels, scale = place_on_paper(reshape(places, writer, hand, generator), hand, generator)
    width = 1 + hand["contrast"] * (np.clip(points[:, 2], 0.4, 2.2) - 1)
    pen = min(max(hand["pen"], THINNEST), THICKEST * scale)
    width = pen * width * vary_pressure(len(points), hand["pressure"], generator)
    return np.split(np.column_stack([pixels, width]).astype(np.float32), np.cumsum(lengths)[:-1])


def move_signs(glyph: Glyph, strength: float, generator: np.random.Generator) -> list[Points]:
    """The strokes, those of each of the glyph's parts shifted, scaled and turned together."""
    shifts = generator.normal(0, strength, (glyph.num_parts, 2))
    scales = np.exp(generator.normal(0, strength, (glyph.num_parts, 2)))
    turns = generator.normal(0, SIGN_TURN * strength, glyph.num_parts)
    moved = []
    for stroke, part in zip(glyph.strokes, glyph.parts, strict=True):
        place = glyph.centres[part]
        cosine, sine = np.cos(turns[part]), np.sin(turns[part])
        stroke = stroke.copy()
        scaled = (stroke[:, :2] - place) * scales[part]
        stroke[:, :2] = scaled @ np.array([[cosine, sine], [-sine, cosine]]) + place + shifts[part]
        moved.append(stroke)
    return moved


def round_corners(stroke: Points, roundness: float) -> Points:
    """A stroke smoothed over about `roundness` points; its ends stay, and a ring stays closed."""
    reach = min(8, len(stroke) - 2)
    if reach < 2:
        return stroke
    if np.array_equal(stroke[0, :2], stroke[-1, :2]):
        before, after = stroke[-1 - reach : -1], stroke[1 : 1 + reach]
    else:
        before, after = 2 * stroke[0] - stroke[reach:0:-1], 2 * stroke[-1] - stroke[-2 : -2 - reach : -1]
    smooth = cv2.GaussianBlur(np.concatenate([before, stroke, after]), (1, 2 * reach + 1), sigmaX=1, sigmaY=roundness)
    return np.asarray(smooth[reach:-reach], np.float32)


def widen_knots(
    points: NDArray[np.float64], knots: Points, widening: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The points (N, 2) with the small loops around the knots (K, 2) wider, each by another amount."""
    for knot in knots:
        away = points - knot
        nearness = np.exp(-(away**2).sum(axis=1) / (2 * KNOT_REACH**2))
        points = points + away * (nearness * widening * generator.uniform(0, 2))[:, None]
    return points


def loosen(
    points: NDArray[np.float64], lengths: Sequence[int], hand: Hand, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The points (N, 2) of all strokes, each shifted, turned, scaled and bent a little by itself, with a tremor."""
    starts = np.cumsum([0, *lengths[:-1]])
    counts = np.array(lengths)
    centres = np.repeat(np.add.reduceat(points, starts) / counts[:, None], counts, axis=0)
    amounts = generator.normal(0, hand["looseness"], (len(counts), 4)) * (1, 1, 1.5, 1.5)
    chords = points[starts + counts - 1] - points[starts]
    bows = generator.normal(0, hand["bow"], len(counts))[:, None] * chords[:, ::-1] * (1, -1)
    x, y = (points - centres).T
    dx, dy, turn, growth = np.repeat(amounts, counts, axis=0).T
    moved = centres + np.stack([x * (1 + growth) - y * turn + dx, y * (1 + growth) + x * turn + dy], axis=1)
    along = (np.arange(len(points)) - np.repeat(starts, counts)) / np.repeat(np.maximum(counts - 1, 1), counts)
    bent = np.sin(np.pi * along)[:, None] * np.repeat(bows, counts, axis=0)
    return moved + bent + generator.normal(0, hand["tremor"], points.shape)


def reshape(
    places: NDArray[np.float64], writer: Writer, hand: Hand, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Points (N, 2) in letter bodies after the writer's and this image's parts, warps, aspect, slant and slope."""
    own, habit = OWN_SHARE, np.sqrt(1 - OWN_SHARE**2)
    places = stretch(places, hand)
    parts = hand["parts"] * (habit * writer.parts + own * generator.normal(0, 1, writer.parts.shape))
    places = np.stack([grow_parts(places[:, axis], parts[axis]) for axis in (0, 1)], axis=1)
    moves = habit * displacement(places, writer.warp) + own * displacement(places, draw_warp(generator))
    matrix = np.array([[hand["aspect"], hand["slope"] * hand["aspect"]], [-hand["slant"], 1.0]])
    return (places + hand["warp"] * moves) @ matrix


def stretch(places: NDArray[np.float64], hand: Hand) -> NDArray[np.float64]:
    """Points (N, 2) in letter bodies with other heights of what stands above the head line and below the foot."""
    y = places[:, 1]
    stretched = np.where(y < 0, y * hand["ascent"], np.where(y > 1, 1 + (y - 1) * hand["descent"], y))
    return np.stack([places[:, 0], stretched], axis=1)


def grow_parts(values: NDArray[np.float64], parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rising, piecewise straight map of an axis: between two knots it has the scale exp(part)."""
    mapped = np.concatenate([[0.0], np.cumsum(np.diff(KNOTS) * np.exp(parts))]) + KNOTS[0]
    return np.interp(values, KNOTS, mapped)


def displacement(places: NDArray[np.float64], warp: Warp) -> NDArray[np.float64]:
    """The shift (N, 2) of points (N, 2) under a warp."""
    amplitude, x_frequency, y_frequency, phase = np.moveaxis(warp.waves, -1, 0)[..., None]
    return (amplitude * np.sin(x_frequency * places[:, 0] + y_frequency * places[:, 1] + phase)).sum(axis=1).T


def vary_pressure(num_points: int, pressure: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """A slowly changing factor (num_points,) around 1."""
    knots = generator.normal(0, pressure, num_points // PRESSURE_PERIOD + 2)
    return np.exp(np.interp(np.arange(num_points) / PRESSURE_PERIOD, np.arange(len(knots)), knots))


def place_on_paper(
    places: NDArray[np.float64], hand: Hand, generator: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Points (N, 2) in pixels of the image, and the scale in pixels per letter body."""
    low, high = places.min(axis=0), places.max(axis=0)
    extent = np.maximum(high - low, 1e-3)
    limit = min(LARGEST[0] * IMAGE_WIDTH / extent[0], LARGEST[1] * IMAGE_HEIGHT / extent[1])
    scale = min(hand["size"], limit)
    room = (np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) - extent * scale) / 2
    shift = np.clip((hand["right"], hand["down"]), -room, room)
    is_tall = low[1] < -TALL
    if generator.random() < hand["cut"] * (TALL_CUT if is_tall else 1):
        axis, side = CUT_SIDES[0 if is_tall else generator.integers(len(CUT_SIDES))]
        shift[axis] = side * (room[axis] + generator.uniform(*CUT_OFF) * extent[axis] * scale)
    return (places - (low + high) / 2) * scale + np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) / 2 + shift, scale
