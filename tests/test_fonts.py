"""A face is used for the graphemes that it shapes as they are written; Pillow, with its own shaper, is the judge."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import pillow_font
from PIL import Image, ImageDraw

from okkhor.errors import InputError
from okkhor.rendering.fonts import Face, draw_text, find_faces, load_font, measure_body, shapes_well
from okkhor.rendering.graphemes import HASANTA, read_graphemes

TEXTS = [grapheme.text for grapheme in read_graphemes()]
NON_JOINER = "\u200c"  # after a hasanta it forces the shape of a font that knows no conjunct
JOINERS = (NON_JOINER, "\u200d")
NO_CHARACTER = "\U0010fffd"  # in no font: drawn as the box of a missing glyph
HANDWRITTEN, PRINTED = find_faces(())
FACES = {f"{Path(face.path).stem}{list(face.axes) or ''}": face for face in (HANDWRITTEN, *PRINTED)}

each_face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)
some_and_all = pytest.mark.parametrize(
    "texts", [TEXTS[::40], pytest.param(TEXTS, marks=pytest.mark.slow)], ids=["some", "all"]
)


@cache
def draw(face: Face, text: str) -> tuple[tuple[int, int], bytes]:
    """A text's size and pixels, drawn by Pillow."""
    mask = pillow_font(face, 100).getmask(text)
    return mask.size, bytes(mask)


def is_joined(face: Face, text: str) -> bool:
    """Whether the ink changes wherever a non-joiner takes a conjunct apart."""
    cuts = [place for place, letter in enumerate(text, 1) if letter == HASANTA]
    return all(draw(face, text[:cut] + NON_JOINER + text[cut:]) != draw(face, text) for cut in cuts)


def num_pieces(face: Face, text: str) -> int:
    return cv2.connectedComponents((draw_text(face, text).ink > 127).astype(np.uint8))[0] - 1


def change_font(face: Face, folder: Path, old: bytes, new: bytes) -> Face:
    """A copy of a font in this folder, with the first `old` of its bytes replaced."""
    content = Path(face.path).read_bytes()
    assert old in content
    path = folder / "changed.ttf"
    path.write_bytes(content.replace(old, new, 1))
    return Face(str(path), face.axes)


def test_every_grapheme_is_shaped_by_three_faces_or_more_and_nearly_all_by_the_handwritten_one() -> None:
    able = {text: [name for name, face in FACES.items() if shapes_well(face, text)] for text in TEXTS}
    assert len(able) == 1295
    assert {text: names for text, names in able.items() if len(names) < 3} == {}
    assert sum(shapes_well(HANDWRITTEN, text) for text in TEXTS) >= 1290


@each_face
@some_and_all
def test_no_grapheme_that_a_face_is_used_for_lacks_a_glyph_or_shows_a_hasanta(face: Face, texts: list[str]) -> None:
    used = [text for text in texts if shapes_well(face, text)]
    missing = draw(face, NO_CHARACTER)
    assert [text for text in used for letter in text if letter not in JOINERS and draw(face, letter) == missing] == []
    assert [text for text in used if not is_joined(face, text)] == []


@each_face
def test_no_grapheme_that_a_face_is_used_for_shows_a_dotted_circle(face: Face) -> None:
    num_dots = num_pieces(face, "ি")  # a sign without a letter: HarfBuzz gives it a circle of eight dots or more
    assert num_dots >= 8
    assert max(num_pieces(face, text) for text in TEXTS if shapes_well(face, text)) < 8
    assert num_pieces(face, "ং") == num_pieces(face, "ঃ") == 2


@pytest.mark.parametrize(
    ("name", "table"),
    [
        *((name, b"GSUB") for name in FACES),  # all substitutions
        *(("Bangla", b"blwf"), ("Bangla", b"pres"), ("NotoSansBengali[wdth,wght][200.0, 100.0]", b"cjct")),
    ],
)
@some_and_all
def test_a_font_that_has_lost_conjuncts_is_refused_for_them(
    name: str, table: bytes, texts: list[str], tmp_path: Path
) -> None:
    broken = change_font(FACES[name], tmp_path, table, table[:3] + b"X")  # an unknown name, in its place
    used = [text for text in texts if shapes_well(FACES[name], text)]
    lost = {text for text in used if not is_joined(broken, text)}
    refused = {text for text in used if not shapes_well(broken, text)}
    assert lost
    assert lost <= refused  # a font that lacks some substitutions may have other faults too
    assert table != b"GSUB" or lost == refused == {text for text in used if HASANTA in text}


def test_a_folder_of_fonts_adds_its_faces_to_the_packaged_ones(tmp_path: Path) -> None:
    own = change_font(PRINTED[0], tmp_path, b"", b"")
    assert find_faces((str(tmp_path),)) == (HANDWRITTEN, (*PRINTED, own))


def test_a_folder_of_fonts_that_is_missing_or_has_no_font_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no/such/folder is not a folder"):
        find_faces(("no/such/folder",))
    (tmp_path / "notes.txt").write_text("no font")
    with pytest.raises(InputError, match=r"none of the 0 fonts .* has Bengali letters"):
        find_faces((str(tmp_path),))


@each_face
def test_a_drawn_text_has_the_ink_that_pillow_draws_within_its_boxes(face: Face) -> None:
    scale, _ = measure_body(face)
    font = pillow_font(face, round(scale * load_font(face).face.upem))
    for text in [text for text in TEXTS[::40] if shapes_well(face, text)]:
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls"))
        image = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
        drawn = draw_text(face, text)
        best = cv2.matchTemplate(np.pad(drawn.ink, 4), np.asarray(image), cv2.TM_CCOEFF_NORMED).max()
        assert best > 0.85, text  # FreeType moves thin stems to whole pixels
        rows, columns = np.nonzero(drawn.ink > 60)
        found = [*drawn.boxes[:, :2].min(axis=0), *drawn.boxes[:, 2:].max(axis=0)]
        assert found == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=2.5), text


def test_glyphs_that_cross_leave_no_hole() -> None:
    ink = draw_text(FACES["Bangla"], "র্কী").ink  # reph over the sign, whose contours turn in the other direction
    holes = cv2.connectedComponents((ink < 128).astype(np.uint8), connectivity=4)[0] - 2
    assert holes == 3  # one raster of all glyphs has 1 of them
