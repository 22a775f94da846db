"""Letters and signs as hands write them, instead of the font's: `choose_variants` picks forms, `draw_forms` draws them.

letter_forms.yaml has the forms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from okkhor.rendering.fonts import BODY_HEIGHT, Face, load_font, shape_numbers
from okkhor.rendering.graphemes import HASANTA, package_text
from okkhor.rendering.strokes import POINT_STEP, Glyph, Points, trace_glyph

CARRIERS = "কপটল"  # letters that a sign is tried on, until one keeps its own glyph beside the sign's
HEAD_LINE_DEPTH = 0.08  # letter bodies: ink that is no farther from the head line belongs to it
FOOT = 1.05  # letter bodies: ink below a letter is a sign's
DOT = 0.2  # letter bodies: the largest dot; as in ড়, it is a part of its own, or in the form of letter and dot
EDGE = 0.02  # letter bodies, around a part's box
SHORTEST = 5  # points: a shorter rest of a stroke is dropped

# Conjuncts, in units of a letter's box:
PLACES = {
    "beside": (((0.0, 0.05), (0.62, 0.85)), ((0.40, 0.08), (0.60, 0.95))),
    "diagonal": (((0.0, 0.05), (0.62, 0.55)), ((0.34, 0.42), (0.66, 0.58))),
    "above": (((0.0, 0.0), (0.90, 0.56)), ((0.18, 0.52), (0.82, 0.62))),
}
"""(left top corner, size) of the first and of the second letter."""
FLAT = 0.12  # a stroke that is no higher is a head line
STEEP, STEM_HEIGHT = 0.1, 0.8  # a stroke that is narrower and higher is a stem
RIGHT = 1.05  # x: a stroke that reaches farther contains the head line to the right of a stem

Variant = tuple[NDArray[np.float64], ...]
"""The strokes of a form, each (N, 2): x and y as letter_forms.yaml defines them."""


@dataclass(frozen=True)
class Form:
    """kind: "letters", "bare" for letters without the font's head line, "tall_signs" for signs above it, or "signs"."""

    variants: tuple[Variant, ...]
    kind: str


@cache
def read_forms() -> Mapping[str, Form]:
    """Return the forms of letter_forms.yaml, by letter, conjunct or sign."""
    kinds = yaml.safe_load(package_text("letter_forms.yaml"))
    conjuncts = kinds.pop("conjuncts")
    forms = {
        letter: Form(tuple(tuple(np.reshape(s, (-1, 2)).astype(float) for s in strokes) for strokes in variants), kind)
        for kind, by_letter in kinds.items()
        for letter, variants in by_letter.items()
    }
    for conjunct, layouts in conjuncts.items():
        first, second = (forms[letter].variants for letter in conjunct.split(HASANTA))
        joined = tuple(variant for layout in layouts for variant in join_letters(first, second, layout))
        own = forms.get(conjunct, Form((), "letters"))  # its own forms come as often as the joined ones
        times = len(joined) // len(own.variants) if own.variants else 0
        forms[conjunct] = Form(joined + own.variants * max(times, 1), own.kind)
    return forms


def join_letters(first: Sequence[Variant], second: Sequence[Variant], layout: str) -> Iterator[Variant]:
    """Yield a form of a conjunct for each pair of its letters' forms, without a head line; layout: a key of PLACES."""
    for one, other in product(first, second):
        one, other = (tuple(without_head_line(strokes)) for strokes in (one, other))
        (corner, size), (other_corner, other_size) = PLACES[layout]
        if layout != "above":  # the second letter's first stroke serves as its stem
            one = tuple(stroke for stroke in one if not is_stem(stroke))
        placed = [np.array(corner) + stroke * size for stroke in one]
        for stroke in other:
            if layout == "diagonal" and is_stem(stroke):  # up to the head line
                placed.append(np.array((other_corner[0], 0.0)) + stroke * (other_size[0], 1.0))
            else:
                placed.append(np.array(other_corner) + stroke * other_size)
        yield tuple(placed)


def is_stem(stroke: NDArray[np.float64]) -> bool:
    """Whether a stroke (N, 2), in units of a letter's box, is upright and as high as the letter."""
    return bool(np.ptp(stroke[:, 0]) < STEEP and np.ptp(stroke[:, 1]) > STEM_HEIGHT)


def without_head_line(strokes: Variant) -> Iterator[NDArray[np.float64]]:
    """Yield the strokes without a head line, also where it runs over into a stem."""
    for stroke in strokes:
        if stroke[:, 0].max() > RIGHT:
            stroke = stroke[(stroke[:, 0] < 0.95) & (stroke[:, 1] > 0.05)]
        if len(stroke) > 1 and np.ptp(stroke[:, 1]) > FLAT:
            yield stroke


@lru_cache(maxsize=64)
def find_forms(face: Face) -> Mapping[int, Form]:
    """Return the forms for the font's glyphs, by glyph number."""
    font = load_font(face)
    found = {}
    for letter, form in read_forms().items():
        numbers = shape_sign(face, letter) if form.kind.endswith("signs") else shape_numbers(font, letter)
        if len(numbers) == 1:
            found[numbers.pop()] = form
    return found


def shape_sign(face: Face, sign: str) -> set[int]:
    """Return the glyph numbers of a sign that stands beside a letter's own glyph; none if the font joins the two."""
    font = load_font(face)
    for carrier in CARRIERS:
        alone, both = shape_numbers(font, carrier), shape_numbers(font, carrier + sign)
        if alone < both:
            return both - alone
    return set()


def choose_variants(face: Face, text: str, probability: float, generator: np.random.Generator) -> tuple[int, ...]:
    """Return for each part of a text's glyph which variant of its form to draw; -1 means the font's own strokes.

    probability: of a variant, for a part that has a form.
    """
    forms, numbers = find_forms(face), trace_glyph(face, text).numbers
    chances = generator.random(len(numbers))
    picks = generator.random(len(numbers))
    return tuple(
        int(pick * len(forms[number].variants)) if number in forms and chance < probability else -1
        for number, chance, pick in zip(numbers, chances, picks, strict=True)
    )


@lru_cache(maxsize=1024)
def draw_forms(face: Face, text: str, variants: tuple[int, ...]) -> Glyph:
    """Trace a text's glyph, with these variants in the place of its parts' own strokes."""
    glyph, forms = trace_glyph(face, text), find_forms(face)
    for part, variant in enumerate(variants):
        if variant >= 0:
            form = forms[glyph.numbers[part]]
            glyph = replace_part(glyph, part, form.variants[variant], form.kind)
    return glyph


def replace_part(glyph: Glyph, part: int, strokes: Variant, kind: str) -> Glyph:
    """Replace the strokes of a part; the head line stays where this kind of form needs the font's."""
    low, high = glyph.boxes[part]
    top, bottom = (low[1], high[1]) if kind == "signs" else (0.0, 1.0)
    origin, size = np.array([low[0], top]), np.array([high[0] - low[0], bottom - top])
    kept, owners = [], []
    for stroke, owner in zip(glyph.strokes, glyph.owners, strict=True):
        for piece in split_outside(stroke, find_covered(stroke, glyph.boxes[part], owner == part, kind)):
            kept.append(piece)
            owners.append(owner)
    drawn = [draw_through(origin + points * size) for points in strokes]
    return replace(glyph, strokes=kept + drawn, owners=owners + [part] * len(drawn), loops=glyph.loops[:0])


def find_covered(stroke: Points, box: NDArray[np.float32], is_own: bool, kind: str) -> NDArray[np.bool_]:
    """Return which points (N,) of a stroke a form in the box (2, 2) replaces; is_own: it is a stroke of this part."""
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
    """Yield the runs of a stroke's points (N, 3) that are not covered (N,), and a whole stroke however short."""
    bounds = np.flatnonzero(np.diff(covered)) + 1
    for piece, gone in zip(np.split(stroke, bounds), covered[np.r_[0, bounds]], strict=True):
        if not gone and (len(piece) >= SHORTEST or len(piece) == len(stroke)):
            yield piece


def draw_through(points: NDArray[np.float64]) -> Points:
    """Return a smooth stroke (N, 3) of width 1 through points (M, 2) in letter bodies."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, round(along[-1] * BODY_HEIGHT / POINT_STEP) + 1))
    curve = CubicSpline(along, points, bc_type="natural")(places)
    return np.column_stack([curve, np.ones(len(curve))]).astype(np.float32)
