"""`draw_outline` gives a shaped text as an SVG path, so that a page shows it on a machine without a Bengali font."""

from functools import cache

import uharfbuzz as hb

from okkhor.rendering.fonts import DOTTED_CIRCLE, HANDWRITTEN, PRINTED, load_font, packaged_face, shape, shapes_well
from okkhor.rendering.graphemes import CONSONANT_TEXTS, read_components

EM = 1000  # units of an outline per font size
FONTS = ((*PRINTED[1][:2], (400.0, 100.0)), PRINTED[2], HANDWRITTEN)
"""Noto Sans Bengali in its regular weight and width; the others, for the few conjuncts that it lacks."""


@cache
def read_shown_components() -> tuple[tuple[str, ...], ...]:
    """Return read_components(), signs being on the dotted circle that stands for their letter."""
    roots, vowels, _ = read_components()
    consonants = (before + DOTTED_CIRCLE + after + end for before, after, end in CONSONANT_TEXTS[1:])
    return roots, tuple(sign and DOTTED_CIRCLE + sign for sign in vowels), ("", *consonants)


@cache
def draw_outline(text: str) -> tuple[str, int] | None:
    """Return a text's SVG path and its width, in units of 1 / EM of the font size, y downwards from the baseline.

    None if the text is empty or no packaged font shapes it.
    """
    faces = [packaged_face(*font) for font in FONTS]
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
