"""A shaped text as the outline of its letters, for pages: right on a machine that has no Bengali font."""

from functools import cache

import uharfbuzz as hb

from okkhor.rendering.fonts import (
    DOTTED_CIRCLE,
    HANDWRITTEN,
    PRINTED,
    load_shaper,
    packaged_face,
    shape_buffer,
    shapeable,
    shapes_well,
)
from okkhor.rendering.graphemes import CONSONANT_TEXTS, read_components

EM = 1000  # units of an outline to the size of its font
SOURCES = ((*PRINTED[1][:2], (400.0, 100.0)), PRINTED[2], HANDWRITTEN)
"""Noto Sans Bengali in its regular weight and width; for the few conjuncts that it lacks, the others."""


@cache
def read_shown_components() -> tuple[tuple[str, ...], ...]:
    """read_components, the signs on the dotted circle that stands for their letter; '' where a class is nothing."""
    roots, vowels, _ = read_components()
    parts = (before + DOTTED_CIRCLE + behind + end for before, behind, end in CONSONANT_TEXTS[1:])
    return roots, tuple(sign and DOTTED_CIRCLE + sign for sign in vowels), ("", *parts)


@cache
def draw_outline(text: str) -> tuple[str, int] | None:
    """The text as an SVG path, EM units to its font's size, y downwards from the baseline, and its width in them.

    None for a text that no packaged font can write.
    """
    faces = [packaged_face(*source) for source in SOURCES]
    letters = text.replace(DOTTED_CIRCLE, "ক")  # the circle is no fault here
    face = next((face for face in faces if shapes_well(face, letters)), None)
    if not text or face is None:
        return None
    shaper = load_shaper(face)
    scale = EM / shaper.face.upem
    buffer = shape_buffer(shaper, shapeable(text))
    pen = _PathPen(scale)
    for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
        pen.x, pen.y = pen.advance + position.x_offset, position.y_offset
        shaper.draw_glyph(info.codepoint, _DRAWING, pen)
        pen.advance += position.x_advance
    return "".join(pen.commands), round(pen.advance * scale)


class _PathPen:
    """Collects the commands of a path; x, y: where the glyph in work stands, in the font's units."""

    def __init__(self, scale: float) -> None:
        self.scale, self.x, self.y, self.advance = scale, 0, 0, 0
        self.commands: list[str] = []

    def add(self, command: str, *numbers: float) -> None:
        places = zip(numbers[::2], numbers[1::2], strict=True)
        points = (f"{(self.x + x) * self.scale:.0f} {-(self.y + y) * self.scale:.0f}" for x, y in places)
        self.commands.append(command + " ".join(points))


def _make_drawing() -> hb.DrawFuncs:
    drawing = hb.DrawFuncs()
    drawing.set_move_to_func(lambda x, y, pen: pen.add("M", x, y))
    drawing.set_line_to_func(lambda x, y, pen: pen.add("L", x, y))
    drawing.set_quadratic_to_func(lambda *numbers: numbers[-1].add("Q", *numbers[:-1]))
    drawing.set_cubic_to_func(lambda *numbers: numbers[-1].add("C", *numbers[:-1]))
    drawing.set_close_path_func(lambda pen: pen.add("Z"))
    return drawing


_DRAWING = _make_drawing()
