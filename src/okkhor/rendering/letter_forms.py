"""Letters and signs as hands write them, in the place of a font's: letter_forms.yaml."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from itertools import product
from typing import Literal

import numpy as np
import uharfbuzz as hb
import yaml
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from okkhor.rendering.fonts import BODY_HEIGHT, Face, load_shaper, shape
from okkhor.rendering.glyphs import Glyph
from okkhor.rendering.graphemes import HASANTA
from okkhor.rendering.strokes import POINT_STEP, Points

CARRIERS = "কপটল"  # letters that a sign is shaped on, until one keeps its own glyph beside the sign's
HEAD_LINE_DEPTH = 0.08  # letter bodies below the head line, down to which ink is the line's own
FOOT = 1.05  # letter bodies: ink below a letter is a sign's
DOT = 0.2  # letter bodies: a dot that makes another letter of one is a part of its own, or in the form of both
EDGE = 0.02  # letter bodies, around a part's box
SHORTEST = 5  # points of what is left of a stroke


Variant = tuple[NDArray[np.float64], ...]
"""The strokes of a form, each (N, 2): x and y as letter_forms.yaml has them."""
Layout = Literal["beside", "above"]


@dataclass(frozen=True)
class Form:
    """kind: "letters", "bare" for letters without the font's head line, "tall_signs" for those above it, or "signs"."""

    variants: tuple[Variant, ...]
    kind: str


@cache
def read_forms() -> Mapping[str, Form]:
    """The forms of letter_forms.yaml by letter, conjunct or sign."""
    text = resources.files("okkhor.rendering").joinpath("letter_forms.yaml").read_text(encoding="utf-8")
    kinds = yaml.safe_load(text)
    conjuncts = kinds.pop("conjuncts")
    forms = {
        letter: Form(tuple(tuple(np.reshape(s, (-1, 2)).astype(float) for s in strokes) for strokes in variants), kind)
        for kind, by_letter in kinds.items()
        for letter, variants in by_letter.items()
    }
    for conjunct, layouts in conjuncts.items():
        first, second = (forms[letter].variants for letter in conjunct.split(HASANTA))
        composed = (variant for layout in layouts for variant in compose(first, second, layout))
        forms[conjunct] = Form(tuple(composed), "letters")
    return forms


@lru_cache(maxsize=64)
def find_own_glyphs(face: Face) -> Mapping[int, str]:
    """The font's glyphs for which there is a form."""
    font = load_shaper(face)
    found = {}
    for letter, form in read_forms().items():
        glyphs = shape_sign(font, letter) if form.kind.endswith("signs") else shape(font, letter)
        if len(glyphs) == 1:
            found[glyphs.pop()] = letter
    return found


def shape_sign(font: hb.Font, sign: str) -> set[int]:
    """The glyphs of a sign that stands beside a letter's own; none where the font joins both to one."""
    for carrier in CARRIERS:
        alone, both = shape(font, carrier), shape(font, carrier + sign)
        if alone < both:
            return both - alone
    return set()


def choose_variants(glyph: Glyph, face: Face, probability: float, generator: np.random.Generator) -> tuple[int, ...]:
    """For each part of the glyph the number of the variant that it is drawn as, -1 for the font's own form."""
    own = find_own_glyphs(face)
    chances = generator.random(glyph.num_parts)
    picks = generator.random(glyph.num_parts)
    return tuple(
        int(pick * len(read_forms()[own[number]].variants)) if number in own and chance < probability else -1
        for number, chance, pick in zip(glyph.numbers, chances, picks, strict=True)
    )


def put_forms(glyph: Glyph, face: Face, variants: tuple[int, ...]) -> Glyph:
    """The glyph with these variants in the place of its parts' strokes."""
    own = find_own_glyphs(face)
    for part, variant in enumerate(variants):
        if variant >= 0:
            form = read_forms()[own[glyph.numbers[part]]]
            glyph = replace_part(glyph, part, form.variants[variant], form.kind)
    return glyph


def replace_part(glyph: Glyph, part: int, strokes: Variant, kind: str) -> Glyph:
    """The glyph with these strokes in the place of a part's; the head line stays where its kind has one."""
    low, high = glyph.boxes[part]
    top, bottom = (low[1], high[1]) if kind == "signs" else (0.0, 1.0)
    origin, size = np.array([low[0], top]), np.array([high[0] - low[0], bottom - top])
    kept, parts = [], []
    for stroke, owner in zip(glyph.strokes, glyph.parts, strict=True):
        for piece in split_outside(stroke, covers(stroke, glyph.boxes[part], owner == part, kind)):
            kept.append(piece)
            parts.append(owner)
    drawn = [draw_through(origin + points * size) for points in strokes]
    return replace(glyph, strokes=kept + drawn, parts=parts + [part] * len(drawn), knots=glyph.knots[:0])


def covers(stroke: Points, box: NDArray[np.float32], is_own: bool, kind: str) -> NDArray[np.bool_]:
    """Which points (N,) of a stroke give way to a form in the box (2, 2). is_own: whether it is the part's stroke."""
    x, y = stroke[:, :2].T
    (left, top), (right, bottom) = box
    within = (x > left - EDGE) & (x < right + EDGE)
    if kind == "signs":
        return within & is_own & (y > max(top - EDGE, HEAD_LINE_DEPTH)) & (y < bottom + EDGE)
    is_head_line = (np.abs(y) < HEAD_LINE_DEPTH) & (kind != "bare")
    is_under = (y > 0) & (kind != "tall_signs")
    if not is_own and max(np.ptp(x), np.ptp(y)) < DOT:
        return np.zeros(len(stroke), bool)
    foot = max(FOOT, bottom + EDGE) if is_own else FOOT
    return within & ~is_head_line & (is_own | is_under) & (y < foot)


def split_outside(stroke: Points, covered: NDArray[np.bool_]) -> Iterator[Points]:
    """The runs of a stroke's points that are not covered; all of it where none is."""
    if not covered.any():
        yield stroke
        return
    bounds = np.flatnonzero(np.diff(covered)) + 1
    for piece, gone in zip(np.split(stroke, bounds), covered[np.r_[0, bounds]], strict=True):
        if not gone and len(piece) >= SHORTEST:
            yield piece


def draw_through(points: NDArray[np.float64]) -> Points:
    """A smooth stroke (N, 3) float32 of width 1 through points (M, 2) in letter bodies."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, round(along[-1] * BODY_HEIGHT / POINT_STEP) + 1))
    curve = CubicSpline(along, points, bc_type="natural")(places)
    return np.column_stack([curve, np.ones(len(curve))]).astype(np.float32)


# Of the first and the second letter: the left top corner and the size, in a letter's box.
PLACES = {
    "beside": (((0.0, 0.05), (0.62, 0.85)), ((0.40, 0.08), (0.60, 0.95))),
    "above": (((0.0, 0.0), (0.90, 0.56)), ((0.18, 0.52), (0.82, 0.62))),
}
FLAT = 0.12  # letter bodies: a stroke that is no higher is a head line
STEEP = 0.1  # letter bodies: a stroke from top to bottom that is no wider is a stem
RIGHT = 1.05  # x from which on a stroke is the head line to the right of a stem


def compose(first: Sequence[Variant], second: Sequence[Variant], layout: Layout) -> Iterator[Variant]:
    """A form of the conjunct for each pair of its letters' forms; its head line is the font's."""
    for one, other in product(first, second):
        one, other = (tuple(without_head_line(strokes)) for strokes in (one, other))
        if layout == "beside":  # the second letter's first stroke serves as its stem
            one = tuple(stroke for stroke in one if not is_stem(stroke))
        (corner, size), (other_corner, other_size) = PLACES[layout]
        yield (
            *(np.array(corner) + stroke * size for stroke in one),
            *(np.array(other_corner) + stroke * other_size for stroke in other),
        )


def without_head_line(strokes: Variant) -> Iterator[NDArray[np.float64]]:
    """The strokes, the head line away, also where it goes over into a stem."""
    for stroke in strokes:
        if stroke[:, 0].max() > RIGHT:
            stroke = stroke[(stroke[:, 0] < 0.95) & (stroke[:, 1] > 0.05)]
        if len(stroke) > 1 and np.ptp(stroke[:, 1]) > FLAT:
            yield stroke


def is_stem(stroke: NDArray[np.float64]) -> bool:
    x, y = stroke.T
    return bool(np.ptp(x) < STEEP and np.ptp(y) > 0.8)
