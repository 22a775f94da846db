"""Bengali as outlines, held against Pillow's rendering of the same font."""

import re

import numpy as np
import pytest
from helpers import pillow_font
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw

from okkhor.rendering.fonts import DOTTED_CIRCLE, EM, OUTLINE_FONTS, draw_outline, packaged_face, read_shown_components
from okkhor.rendering.graphemes import CONSONANT_TEXTS, read_components, read_graphemes

POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 1}
CODES = {"M": Outline.MOVETO, "L": Outline.LINETO, "Q": Outline.CURVE3, "C": Outline.CURVE4, "Z": Outline.CLOSEPOLY}


def read_path(text: str) -> Outline:
    """An SVG path as matplotlib's."""
    points, codes = [], []
    for command, numbers in re.findall(r"([MLQCZ])([-\d ]*)", text):
        values = [float(number) for number in numbers.split()] or [0.0, 0.0]
        points += list(zip(values[::2], values[1::2], strict=True))
        codes += [CODES[command]] * POINTS[command]
    return Outline(points, codes)


def fill(path: Outline, left: int, top: int, right: int, bottom: int, step: int) -> np.ndarray:
    """Which places of a grid the path fills, by the sign of its contours' turns (the nonzero rule, as in SVG)."""
    rows, columns = np.mgrid[top:bottom:step, left:right:step]
    places = np.column_stack([columns.ravel(), rows.ravel()]) + step / 2
    winding = np.zeros(len(places))
    for polygon in map(np.asarray, path.to_polygons()):
        x, y = polygon[:, 0], polygon[:, 1]
        turn = np.sign(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
        winding += turn * Outline(polygon).contains_points(places)
    return (winding != 0).reshape(rows.shape)


@pytest.mark.parametrize("text", ["ক", "ক্ষ্ম", "স্ত্রী", "র্কি", "ৎ", "কৌ", "◌্র", "র্◌"])
def test_the_outline_covers_what_pillow_draws(text: str) -> None:
    drawn = draw_outline(text)
    assert drawn is not None
    font = pillow_font(packaged_face(*OUTLINE_FONTS[0]), EM)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls"))
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
    step = 8
    expected = np.asarray(image)[step // 2 :: step, step // 2 :: step] > 127
    found = fill(read_path(drawn[0]), left, top, right, bottom, step)[: expected.shape[0], : expected.shape[1]]
    both, either = (found & expected).sum(), (found | expected).sum()
    assert both / either > 0.93
    assert drawn[1] == pytest.approx(font.getlength(text), abs=2)


def test_every_grapheme_and_every_class_can_be_drawn() -> None:
    texts = [grapheme.text for grapheme in read_graphemes()]
    texts += [text for column in read_shown_components() for text in column if text]
    assert not [text for text in texts if draw_outline(text) is None]
    assert draw_outline("") is None
    assert draw_outline("漢") is None


def test_signs_stand_on_a_circle_and_letters_alone() -> None:
    roots, vowels, consonants = read_shown_components()
    assert roots == read_components()[0]
    assert vowels[0] == consonants[0] == ""
    assert [text.replace(DOTTED_CIRCLE, "") for text in vowels] == list(read_components()[1])
    assert [text.replace(DOTTED_CIRCLE, "") for text in consonants] == ["".join(parts) for parts in CONSONANT_TEXTS]
    assert all(text.count(DOTTED_CIRCLE) == 1 for text in (*vowels[1:], *consonants[1:]))
