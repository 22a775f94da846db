"""Bengali fonts: `find_faces`, `shapes_well` (can a face write a text?), `draw_text` and, as SVG, `draw_outline`.

HarfBuzz shapes and draws. Pillow would leave conjuncts unjoined in a bare container: its shaping needs FriBiDi.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uharfbuzz as hb
from numpy.typing import NDArray

from okkhor.errors import InputError
from okkhor.rendering.graphemes import CONSONANT_TEXTS, HASANTA, read_components

BODY_HEIGHT = 56  # pixels from the head line to the foot of ক in a drawn text; an image's letter has 30 to 55
MARGIN = 4  # pixels of paper around a drawn text
DOTTED_CIRCLE = "\u25cc"  # HarfBuzz puts it under a sign that has no letter to stand on
ZERO_WIDTH_NON_JOINER = "\u200c"
MISSING_GLYPH = 0  # .notdef in every font
SIGNS_ALONE = ("\u0982", "\u0983")  # ং and ঃ: graphemes of the competition that Unicode takes for signs
NO_BREAK_SPACE = "\u00a0"  # a letter without ink, on which a sign stands without a dotted circle

HANDWRITTEN = ("bengali_captcha", "assets/fonts/ben.ttf", ())  # BenSen Handwriting
PRINTED = (
    ("bengali_captcha", "assets/fonts/Bangla.ttf", ()),
    ("justmytype_intl_south_asia", "fonts/ofl/notosansbengali/NotoSansBengali[wdth,wght].ttf", (200.0, 100.0)),
    ("bengali_captcha", "assets/fonts/sole.ttf", ()),
    ("justmytype_intl_south_asia", "fonts/ofl/notosansbengali/NotoSansBengali[wdth,wght].ttf", (300.0, 75.0)),
    ("bengali_captcha", "assets/fonts/ek_kolom_bold.ttf", ()),
)
"""(package, file, axes) of the fonts in packages of PyPI."""
EM = 1000  # units of an outline per font size
OUTLINE_FONTS = ((*PRINTED[1][:2], (400.0, 100.0)), PRINTED[2], HANDWRITTEN)
"""Noto Sans Bengali in its regular weight and width; the others, for the few conjuncts that it lacks."""


@dataclass(frozen=True)
class Face:
    """A font file; axes: for a variable font, the value of each axis in the file's order."""

    path: str
    axes: tuple[float, ...] = ()


class DrawnText(NamedTuple):
    """A shaped text in pixels.

    ink: (H, W) uint8, 255 on 0. head_line: the row of the head line. numbers: the font's number of each glyph that has
    ink. boxes: (P, 4) float64, left, top, right, bottom of each of these glyphs.
    """

    ink: NDArray[np.uint8]
    head_line: int
    numbers: tuple[int, ...]
    boxes: NDArray[np.float64]


def find_faces(font_dirs: Sequence[str]) -> tuple[Face, tuple[Face, ...]]:
    """Return the handwritten face, and all other faces: the packages' and those in the folders `font_dirs`.

    Raises InputError for a missing package file, and for a folder that is missing or has no Bengali font.
    """
    own = tuple(Face(str(path)) for folder in font_dirs for path in find_font_files(Path(folder)))
    return packaged_face(*HANDWRITTEN), tuple(packaged_face(*font) for font in PRINTED) + own


def packaged_face(package: str, file: str, axes: tuple[float, ...]) -> Face:
    """Return a face of an installed package."""
    try:
        path = Path(str(resources.files(package))) / file
    except ModuleNotFoundError:
        path = None
    if path is None or not path.is_file():
        name = package.replace("_", "-")
        raise InputError(f"The font {file} of the package {name} is missing: pip install --force-reinstall {name}")
    return Face(str(path), axes)


def find_font_files(folder: Path) -> list[Path]:
    """List the fonts in a folder that have Bengali letters, sorted by name; subfolders are not searched."""
    if not folder.is_dir():
        raise InputError(f"sample.font_dirs: {folder} is not a folder")
    fonts = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".ttf", ".otf")]
    bengali = [path for path in fonts if shapes_well(Face(str(path)), "ক")]
    if not bengali:
        raise InputError(f"sample.font_dirs: none of the {len(fonts)} fonts (ttf, otf) in {folder} has Bengali letters")
    return bengali


@lru_cache(maxsize=64)
def load_font(face: Face) -> hb.Font:
    """Load a face into HarfBuzz."""
    font = hb.Font(hb.Face(hb.Blob.from_file_path(face.path)))
    if face.axes:
        font.set_var_coords_design(list(face.axes))
    return font


@lru_cache(maxsize=64)
def measure_body(face: Face) -> tuple[float, float]:
    """Return the pixels per font unit that make ক BODY_HEIGHT high, and the pixels from the baseline up to ক's top."""
    font = load_font(face)
    extents = font.get_glyph_extents(font.get_nominal_glyph(ord("ক")))
    scale = BODY_HEIGHT / -extents.height
    return scale, extents.y_bearing * scale


def shape(font: hb.Font, text: str) -> hb.Buffer:
    """Shape a text into HarfBuzz's glyphs and their positions."""
    buffer = hb.Buffer()
    buffer.add_str(NO_BREAK_SPACE + text if text in SIGNS_ALONE else text)
    buffer.guess_segment_properties()
    hb.shape(font, buffer)
    return buffer


def shape_numbers(font: hb.Font, text: str) -> set[int]:
    """Return the font's numbers of the glyphs that a text is shaped into."""
    return {info.codepoint for info in shape(font, text).glyph_infos}


@lru_cache(maxsize=65536)
def shapes_well(face: Face, text: str) -> bool:
    """Return whether the font has every glyph of the text, needs no dotted circle and joins every conjunct.

    Some packaged font joins each of the 1,295 graphemes, so a visible hasanta is always a fault. It is a glyph of its
    own, or part of the font's glyph for a letter with hasanta before a non-joiner.
    """
    font = load_font(face)
    unjoined = {glyph for glyph in (font.get_nominal_glyph(ord(sign)) for sign in (DOTTED_CIRCLE, HASANTA)) if glyph}
    for letter, sign in pairwise(text):
        if sign == HASANTA:
            unjoined |= shape_numbers(font, letter + HASANTA + ZERO_WIDTH_NON_JOINER) - shape_numbers(font, letter)
    return not shape_numbers(font, text) & ({MISSING_GLYPH} | unjoined)


def draw_text(face: Face, text: str) -> DrawnText:
    """Draw a shaped text, ক being BODY_HEIGHT pixels high."""
    font, (scale, ascent) = load_font(face), measure_body(face)
    numbers, origins, boxes = place_glyphs(face, text)
    corner = np.floor(boxes[:, :2].min(axis=0)).astype(int) - MARGIN
    left, top = corner.tolist()
    width, height = (np.ceil(boxes[:, 2:].max(axis=0)).astype(int) + MARGIN - corner).tolist()
    ink = np.zeros((height, width), np.uint8)
    raster = hb.RasterDraw()
    for number, (x, y) in zip(numbers, origins, strict=True):
        # Each glyph is drawn alone: contours that cross and turn in opposite directions would cancel out.
        raster.transform = (scale, 0, 0, scale, x - left, height + top - y)
        raster.extents = hb.RasterExtents(0, 0, width, height)
        raster.draw_glyph(font, number)
        image = raster.render()
        rows = np.frombuffer(image.buffer, np.uint8).reshape(height, image.extents.stride)
        ink = np.maximum(ink, rows[::-1, :width])  # HarfBuzz has the lowest row first
    return DrawnText(ink, round(-ascent) - top, numbers, boxes - (left, top, left, top))


def place_glyphs(face: Face, text: str) -> tuple[tuple[int, ...], list[tuple[float, float]], NDArray[np.float64]]:
    """Return number, origin (x, y) and box of each glyph that has ink: see DrawnText.

    Pixels are counted from the text's beginning on the baseline, y downwards.
    """
    font, (scale, _) = load_font(face), measure_body(face)
    buffer = shape(font, text)
    numbers, origins, boxes, advance = [], [], [], 0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        extents = font.get_glyph_extents(info.codepoint)
        if extents is not None and extents.width:
            x, y = scale * (advance + position.x_offset), -scale * position.y_offset
            left, top = x + scale * extents.x_bearing, y - scale * extents.y_bearing
            numbers.append(info.codepoint)
            origins.append((x, y))
            boxes.append((left, top, left + scale * extents.width, top - scale * extents.height))
        advance += position.x_advance
    return tuple(numbers), origins, np.array(boxes)


@cache
def read_shown_components() -> tuple[tuple[str, ...], ...]:
    """Return read_components(), signs being on the dotted circle that stands for their letter."""
    roots, vowels, _ = read_components()
    consonants = (before + DOTTED_CIRCLE + after + end for before, after, end in CONSONANT_TEXTS[1:])
    return roots, tuple(sign and DOTTED_CIRCLE + sign for sign in vowels), ("", *consonants)


@cache
def draw_outline(text: str) -> tuple[str, int] | None:
    """Return a text's SVG path and its width, in units of 1 / EM of the font size, y downwards from the baseline.

    None if the text is empty or no packaged font shapes it. So a page shows the text without a Bengali font.
    """
    faces = [packaged_face(*font) for font in OUTLINE_FONTS]
    letters = text.replace(DOTTED_CIRCLE, "ক")  # shapes_well would refuse the circle
    face = next((face for face in faces if shapes_well(face, letters)), None)
    if not text or face is None:
        return None
    font = load_font(face)
    scale = EM / font.face.upem
    buffer = shape(font, text)
    commands: list[str] = []
    advance = 0
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        origin = advance + position.x_offset, position.y_offset
        font.draw_glyph(info.codepoint, _collect(commands, origin, scale))
        advance += position.x_advance
    return "".join(commands), round(advance * scale)


def _collect(commands: list[str], origin: tuple[int, int], scale: float) -> hb.DrawFuncs:
    """Return functions that append the commands of a glyph's path; origin: of the glyph, in font units."""

    def add(command: str, *numbers: float) -> None:
        points = zip(numbers[::2], numbers[1::2], strict=True)
        commands.append(
            command + " ".join(f"{(origin[0] + x) * scale:.0f} {-(origin[1] + y) * scale:.0f}" for x, y in points)
        )

    functions = hb.DrawFuncs()
    functions.set_move_to_func(lambda x, y, _: add("M", x, y))
    functions.set_line_to_func(lambda x, y, _: add("L", x, y))
    functions.set_quadratic_to_func(lambda *numbers: add("Q", *numbers[:-1]))
    functions.set_cubic_to_func(lambda *numbers: add("C", *numbers[:-1]))
    functions.set_close_path_func(lambda _: add("Z"))
    return functions
