"""Bengali fonts: where they are, which graphemes they shape well, and the mask of a shaped grapheme.

HarfBuzz shapes and draws: without shaping conjuncts stay unjoined, and Pillow's raqm needs a library of the system
(FriBiDi), which a bare container lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.rendering.graphemes import HASANTA

BODY_HEIGHT = 56  # pixels from the head line to the foot of ক in a mask; an image's letter has 30 to 55
MARGIN = 4  # pixels of paper around a mask's ink
DOTTED_CIRCLE = "\u25cc"  # HarfBuzz puts it under a sign that has no letter to stand on
ZERO_WIDTH_NON_JOINER = "\u200c"
MISSING_GLYPH = 0  # .notdef in every font
SIGNS_ALONE = ("\u0982", "\u0983")  # ং and ঃ: graphemes of the competition that Unicode takes for signs
NO_BREAK_SPACE = "\u00a0"  # a letter without ink, on which a sign stands without a dotted circle


@dataclass(frozen=True)
class Face:
    """A font file and, where it is variable, the values of its axes in the file's order."""

    path: str
    axes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Parts:
    """The glyphs of a shaped text that have ink. numbers: in the font; boxes: (P, 4) float64, see find_parts."""

    numbers: tuple[int, ...]
    boxes: NDArray[np.float64]


HANDWRITTEN = ("bengali_captcha", "assets/fonts/ben.ttf", ())  # BenSen Handwriting
PRINTED = (
    ("bengali_captcha", "assets/fonts/Bangla.ttf", ()),
    ("justmytype_intl_south_asia", "fonts/ofl/notosansbengali/NotoSansBengali[wdth,wght].ttf", (200.0, 100.0)),
    ("bengali_captcha", "assets/fonts/sole.ttf", ()),
    ("justmytype_intl_south_asia", "fonts/ofl/notosansbengali/NotoSansBengali[wdth,wght].ttf", (300.0, 75.0)),
    ("bengali_captcha", "assets/fonts/ek_kolom_bold.ttf", ()),
)
"""(package, file, axes): the fonts that come with packages of PyPI."""


def find_faces(font_dirs: Sequence[str]) -> tuple[Face, tuple[Face, ...]]:
    """The handwritten face, and the other packaged faces with a person's own from `font_dirs`."""
    own = tuple(Face(str(path)) for folder in font_dirs for path in find_font_files(Path(folder)))
    return packaged_face(*HANDWRITTEN), tuple(packaged_face(*source) for source in PRINTED) + own


def packaged_face(package: str, file: str, axes: tuple[float, ...]) -> Face:
    """A face of an installed package."""
    try:
        path = Path(str(resources.files(package))) / file
    except ModuleNotFoundError:
        path = None
    if path is None or not path.is_file():
        name = package.replace("_", "-")
        raise InputError(f"The font {file} of the package {name} is missing: pip install --force-reinstall {name}")
    return Face(str(path), axes)


def find_font_files(folder: Path) -> list[Path]:
    """The fonts right in a folder that have Bengali letters, by name."""
    if not folder.is_dir():
        raise InputError(f"sample.font_dirs: {folder} is not a folder")
    fonts = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".ttf", ".otf")]
    bengali = [path for path in fonts if shapes_well(Face(str(path)), "ক")]
    if not bengali:
        raise InputError(
            f"sample.font_dirs: {folder} holds no font (ttf, otf) with Bengali letters; fonts in all: {len(fonts)}"
        )
    return bengali


@lru_cache(maxsize=64)
def load_shaper(face: Face) -> hb.Font:
    """HarfBuzz's font."""
    font = hb.Font(hb.Face(hb.Blob.from_file_path(face.path)))
    if face.axes:
        font.set_var_coords_design(list(face.axes))
    return font


@lru_cache(maxsize=64)
def measure_body(face: Face) -> tuple[float, float]:
    """Pixels of a font's unit, so that ক is BODY_HEIGHT high, and the height of ক's top over the baseline in pixels."""
    font = load_shaper(face)
    extents = font.get_glyph_extents(font.get_nominal_glyph(ord("ক")))
    scale = BODY_HEIGHT / -extents.height
    return scale, extents.y_bearing * scale


def shapeable(text: str) -> str:
    """The text as HarfBuzz must get it."""
    return NO_BREAK_SPACE + text if text in SIGNS_ALONE else text


@lru_cache(maxsize=65536)
def shapes_well(face: Face, text: str) -> bool:
    """Whether the font has every glyph of the text, needs no dotted circle and joins every conjunct.

    Each of the 1,295 graphemes is joined by some packaged font, so a hasanta that is still seen is always a fault. It
    is a glyph of its own, or part of the glyph that the font has for a letter with hasanta before a non-joiner.
    """
    font = load_shaper(face)
    glyphs = shape(font, shapeable(text))
    unjoined = {glyph for glyph in (font.get_nominal_glyph(ord(sign)) for sign in (DOTTED_CIRCLE, HASANTA)) if glyph}
    for letter, sign in pairwise(text):
        if sign == HASANTA:
            unjoined |= shape(font, letter + HASANTA + ZERO_WIDTH_NON_JOINER) - shape(font, letter)
    return not glyphs & ({MISSING_GLYPH} | unjoined)


def shape(font: hb.Font, text: str) -> set[int]:
    """The numbers of the font's glyphs that HarfBuzz makes of a text."""
    return {info.codepoint for info in shape_buffer(font, text).glyph_infos}


def shape_buffer(font: hb.Font, text: str) -> hb.Buffer:
    """HarfBuzz's glyphs and their positions."""
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    hb.shape(font, buffer)
    return buffer


def find_parts(face: Face, text: str) -> Parts:
    """The parts of a text; their boxes are left, top, right, bottom in pixels of its mask."""
    glyphs = place_glyphs(face, text)
    boxes = np.array([glyph.box for glyph in glyphs])
    return Parts(tuple(glyph.number for glyph in glyphs), boxes - (*corner_of(boxes), *corner_of(boxes)))


def draw_mask(face: Face, text: str) -> tuple[NDArray[np.uint8], int]:
    """The shaped text as (H, W) uint8, ink 255 on 0, and the row of the head line in it."""
    glyphs = place_glyphs(face, text)
    scale, ascent = measure_body(face)
    boxes = np.array([glyph.box for glyph in glyphs])
    left, top = corner_of(boxes)
    width, height = (np.ceil(boxes[:, 2:].max(axis=0)).astype(int) + MARGIN - (left, top)).tolist()
    mask = np.zeros((height, width), np.uint8)
    raster = hb.RasterDraw()
    for glyph in glyphs:  # each by itself: contours that cross and turn the other way round would cancel out
        x, y = glyph.origin
        raster.transform = (scale, 0, 0, scale, x - left, height + top - y)
        raster.extents = hb.RasterExtents(0, 0, width, height)
        raster.draw_glyph(load_shaper(face), glyph.number)
        image = raster.render()
        rows = np.frombuffer(image.buffer, np.uint8).reshape(height, image.extents.stride)
        mask = np.maximum(mask, rows[::-1, :width])  # HarfBuzz has the lowest row first
    return mask, round(-ascent) - top


class PlacedGlyph(NamedTuple):
    """A glyph with ink, in pixels of a mask from the text's beginning on the baseline, y downwards.

    number: in the font. origin: (x, y). box: left, top, right, bottom of its ink.
    """

    number: int
    origin: tuple[float, float]
    box: tuple[float, float, float, float]


def place_glyphs(face: Face, text: str) -> list[PlacedGlyph]:
    """The glyphs of a text that have ink."""
    font, (scale, _) = load_shaper(face), measure_body(face)
    buffer = shape_buffer(font, shapeable(text))
    glyphs, advance = [], 0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        extents = font.get_glyph_extents(info.codepoint)
        if extents is not None and extents.width:
            x, y = scale * (advance + position.x_offset), -scale * position.y_offset
            left, top = x + scale * extents.x_bearing, y - scale * extents.y_bearing
            box = (left, top, left + scale * extents.width, top - scale * extents.height)
            glyphs.append(PlacedGlyph(info.codepoint, (x, y), box))
        advance += position.x_advance
    return glyphs


def corner_of(boxes: NDArray[np.float64]) -> tuple[int, int]:
    """The left top corner of the mask around glyphs with these boxes (P, 4)."""
    left, top = np.floor(boxes[:, :2].min(axis=0)).astype(int).tolist()
    return left - MARGIN, top - MARGIN
