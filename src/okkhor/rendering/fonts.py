"""Bengali fonts: where they are, which graphemes they shape well, and the mask of a shaped grapheme.

Bengali must be shaped by HarfBuzz, which Pillow calls through raqm: its basic layout leaves conjuncts unjoined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

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
    if not features.check("raqm"):
        raise InputError(
            "Pillow was built without raqm, which shapes Bengali: take its wheel, pip install --force-reinstall pillow"
        )
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
def load_font(face: Face) -> tuple[ImageFont.FreeTypeFont, int]:
    """Pillow's font so large that ক is BODY_HEIGHT high, and the height of ক's top over the baseline in pixels."""
    probe_size = 200  # pixels: large enough that rounding costs less than 1 %
    probe = open_font(face, probe_size)
    _, top, _, bottom = probe.getbbox("ক", anchor="ls")
    font = open_font(face, round(probe_size * BODY_HEIGHT / (bottom - top)))
    return font, round(-font.getbbox("ক", anchor="ls")[1])


def open_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Pillow's font at `size` pixels per em."""
    font = ImageFont.truetype(face.path, size, layout_engine=ImageFont.Layout.RAQM)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


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
    font, _ = load_font(face)
    shaper = load_shaper(face)
    scale = font.size / shaper.face.upem
    left, top, _, _ = (round(edge) for edge in font.getbbox(shapeable(text), anchor="ls"))
    buffer = shape_buffer(shaper, shapeable(text))
    numbers, boxes, advance = [], [], 0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        extents = shaper.get_glyph_extents(info.codepoint)
        if extents is not None and extents.width:
            x = advance + position.x_offset + extents.x_bearing
            y = -(position.y_offset + extents.y_bearing)
            numbers.append(info.codepoint)
            boxes.append((x, y, x + extents.width, y - extents.height))
        advance += position.x_advance
    return Parts(tuple(numbers), np.array(boxes) * scale + (MARGIN - left, MARGIN - top) * 2)


def draw_mask(face: Face, text: str) -> tuple[np.ndarray, int]:
    """The shaped text as (H, W) uint8, ink 255 on 0, and the row of the head line in it."""
    font, ascent = load_font(face)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(shapeable(text), anchor="ls"))
    image = Image.new("L", (right - left + 2 * MARGIN, bottom - top + 2 * MARGIN))
    ImageDraw.Draw(image).text((MARGIN - left, MARGIN - top), shapeable(text), fill=255, font=font, anchor="ls")
    return np.asarray(image), MARGIN - top - ascent
