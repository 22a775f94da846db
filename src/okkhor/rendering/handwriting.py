"""How a writer writes a glyph this time: from its strokes to pen points in pixels of the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.strokes import Points
from okkhor.rendering.writers import Warp, Writer, draw_warp
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

OWN_WARP = 0.03  # letter bodies, of one image beside its writer's
OWN_PARTS = 0.10  # standard deviation of the logarithm of a part's scale
OWN_ROTATION = 0.04  # radians, standard deviation
OWN_SCALE = 0.08  # standard deviation of the logarithm of the size
OWN_PLACE = (12.0, 6.0)  # pixels, standard deviation right and down
LARGEST = (0.94, 0.95)  # share of the image's width and height that a glyph may have
THINNEST = 1.8  # pixels, of a pen
THICKEST = 0.13  # letter bodies, of a pen: a thicker one fills the loops of conjuncts
HEAD_LINE_REACH = 0.16  # letter bodies: a horizontal end that lies no farther from 0 is an end of the head line
LIFT_PROBABILITY = 0.12  # of a gap in a head line that is long enough
# Letter bodies, for both axes; no glyph reaches farther out than 3.5.
KNOTS = np.array([-6.0, -0.6, 0.0, 0.6, 1.2, 6.0])


def write_glyph(strokes: Sequence[Points], writer: Writer, generator: np.random.Generator) -> list[Points]:
    """The strokes of a glyph as this writer draws them: each (N, 3) float32: x, y and the pen's width in pixels."""
    drawn = [round_corners(stroke, writer.roundness) for stroke in strokes]
    drawn = [end for stroke in drawn for end in redraw_head_line(stroke, writer.head_line, generator)]
    places = reshape(loosen(drawn, writer.looseness, generator), writer, generator)
    width = 1 + writer.contrast * (np.clip(np.concatenate(drawn)[:, 2], 0.4, 2.2) - 1)
    pixels, scale = place_on_paper(places, writer, generator)
    pen = writer.pen * float(np.exp(generator.normal(0, 0.08)))
    pen = min(max(pen, THINNEST), THICKEST * scale)
    width = pen * width * vary_pressure(len(places), writer.pressure, generator)
    cuts = np.cumsum([len(stroke) for stroke in drawn])[:-1]
    return np.split(np.column_stack([pixels, width]).astype(np.float32), cuts)


def round_corners(stroke: Points, roundness: float) -> Points:
    """A stroke smoothed over about `roundness` points; its ends stay, and a ring stays closed."""
    reach = min(4, len(stroke) - 2)
    if reach < 2:
        return stroke
    if np.array_equal(stroke[0, :2], stroke[-1, :2]):
        before, after = stroke[-1 - reach : -1], stroke[1 : 1 + reach]
    else:
        before, after = 2 * stroke[0] - stroke[reach:0:-1], 2 * stroke[-1] - stroke[-2 : -2 - reach : -1]
    smooth = cv2.GaussianBlur(np.concatenate([before, stroke, after]), (1, 2 * reach + 1), sigmaX=1, sigmaY=roundness)
    return np.asarray(smooth[reach:-reach], np.float32)


def redraw_head_line(stroke: Points, habit: float, generator: np.random.Generator) -> list[Points]:
    """The stroke with its free ends on the head line drawn longer or shorter, and now and then lifted in between."""
    for _ in range(2):
        stroke = stroke[::-1]
        if is_head_line_end(stroke):
            stroke = move_end(stroke, habit + generator.normal(0, 0.1))
    on_line = np.flatnonzero(np.abs(stroke[:, 1]) < HEAD_LINE_REACH)
    if len(on_line) == len(stroke) > 12 and generator.random() < LIFT_PROBABILITY:
        gap = int(generator.integers(4, len(stroke) - 6))
        return [stroke[:gap], stroke[gap + 2 :]]
    return [stroke]


def is_head_line_end(stroke: Points) -> bool:
    """Whether a stroke ends level, on the head line."""
    if len(stroke) < 5:
        return False
    dx, dy = stroke[-1, :2] - stroke[-4, :2]
    return bool(abs(stroke[-1, 1]) < HEAD_LINE_REACH and abs(dx) > 2 * abs(dy))


def move_end(stroke: Points, length: float) -> Points:
    """A stroke whose last end is drawn on by `length` letter bodies, or cut back by it, by a third at most."""
    if length <= 0:
        step = max(float(np.hypot(*(stroke[1, :2] - stroke[0, :2]))), 1e-3)
        return stroke[: len(stroke) - min(round(-length / step), len(stroke) // 3)]
    away = stroke[-1, :2] - stroke[-4, :2]
    tip = stroke[-1].copy()
    tip[:2] += away / max(float(np.hypot(*away)), 1e-6) * length
    return np.concatenate([stroke, (stroke[-1:] + tip) / 2, tip[None]])


def loosen(strokes: Sequence[Points], looseness: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """The points (N, 2) of all strokes, each shifted, turned and scaled a little by itself."""
    lengths = [len(stroke) for stroke in strokes]
    amounts = generator.normal(0, looseness, (len(strokes), 4)) * (1, 1, 1.5, 1.5)
    centres = np.array([stroke[:, :2].mean(axis=0) for stroke in strokes])
    x, y = (np.concatenate(strokes)[:, :2] - np.repeat(centres, lengths, axis=0)).T
    dx, dy, turn, growth = np.repeat(amounts, lengths, axis=0).T
    moved = np.stack([x * (1 + growth) - y * turn + dx, y * (1 + growth) + x * turn + dy], axis=1)
    return moved + np.repeat(centres, lengths, axis=0)


def reshape(places: NDArray[np.float64], writer: Writer, generator: np.random.Generator) -> NDArray[np.float64]:
    """Points (N, 2) in letter bodies after the writer's and this image's warps, parts, aspect, slant and slope."""
    parts = writer.parts + generator.normal(0, OWN_PARTS, writer.parts.shape)
    places = np.stack([grow_parts(places[:, axis], parts[axis]) for axis in (0, 1)], axis=1)
    places = places + displacement(places, writer.warp) + displacement(places, draw_warp(generator, OWN_WARP))
    rotation = generator.normal(0, OWN_ROTATION)
    slant = writer.slant + generator.normal(0, 0.04)
    slope = writer.slope + rotation
    matrix = np.array([[writer.aspect, slope * writer.aspect], [-slant - rotation, 1.0]])
    return places @ matrix


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
    period = 6  # points between two changes of pressure, about a quarter of a letter body
    knots = generator.normal(0, pressure, num_points // period + 2)
    return np.exp(np.interp(np.arange(num_points) / period, np.arange(len(knots)), knots))


def place_on_paper(
    places: NDArray[np.float64], writer: Writer, generator: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Points (N, 2) in pixels of the image, and the scale in pixels per letter body."""
    low, high = places.min(axis=0), places.max(axis=0)
    extent = np.maximum(high - low, 1e-3)
    scale = writer.body * float(np.exp(generator.normal(0, OWN_SCALE)))
    limit = min(LARGEST[0] * IMAGE_WIDTH / extent[0], LARGEST[1] * IMAGE_HEIGHT / extent[1])
    scale = min(scale, limit)
    room = (np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) - extent * scale) / 2
    wanted = np.array(writer.place) + generator.normal(0, OWN_PLACE)
    shift = np.clip(wanted, -room, room)
    return (places - (low + high) / 2) * scale + np.array([IMAGE_WIDTH, IMAGE_HEIGHT]) / 2 + shift, scale
