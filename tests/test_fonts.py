"""Fonts: every grapheme is shaped as it is written, by whichever face draws it; and from a glyph's ink to strokes."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import pillow_font
from PIL import Image, ImageDraw

from okkhor.errors import InputError
from okkhor.rendering.fonts import (
    BODY_HEIGHT,
    Face,
    draw_mask,
    find_faces,
    find_parts,
    load_shaper,
    measure_body,
    shapes_well,
)
from okkhor.rendering.glyphs import trace_glyph
from okkhor.rendering.graphemes import HASANTA, read_graphemes
from okkhor.rendering.skeleton import thin

TEXTS = [grapheme.text for grapheme in read_graphemes()]
NON_JOINER = "\u200c"  # after a hasanta it forces what a font shows that knows no conjunct
JOINERS = (NON_JOINER, "\u200d")
NO_CHARACTER = "\U0010fffd"  # in no font: drawn as the box of a missing glyph
FACES = {f"{Path(face.path).stem}{list(face.axes) or ''}": face for face in (find_faces(())[0], *find_faces(())[1])}

each_face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)


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
    mask, _ = draw_mask(face, text)
    return cv2.connectedComponents((mask > 127).astype(np.uint8))[0] - 1


def change_font(face: Face, folder: Path, old: bytes, new: bytes) -> Face:
    """A copy of a font with the first `old` of its bytes replaced, which comes first in the folder."""
    content = Path(face.path).read_bytes()
    assert old in content
    path = folder / "changed.ttf"
    path.write_bytes(content.replace(old, new, 1))
    return Face(str(path), face.axes)


# Which graphemes a face is used for


def test_the_faces_together_shape_all_graphemes_each_in_several_ways() -> None:
    able = {text: [name for name, face in FACES.items() if shapes_well(face, text)] for text in TEXTS}
    assert len(able) == 1295
    assert {text: names for text, names in able.items() if len(names) < 3} == {}


def test_the_handwritten_face_shapes_nearly_all_graphemes() -> None:
    assert sum(shapes_well(find_faces(())[0], text) for text in TEXTS) >= 1290


@each_face
def test_no_grapheme_that_a_face_is_used_for_lacks_a_glyph(face: Face) -> None:
    used = [text for text in TEXTS if shapes_well(face, text)]
    missing = draw(face, NO_CHARACTER)
    assert [text for text in used for letter in text if letter not in JOINERS and draw(face, letter) == missing] == []


@each_face
def test_no_grapheme_that_a_face_is_used_for_shows_a_hasanta(face: Face) -> None:
    used = [text for text in TEXTS if shapes_well(face, text)]
    assert [text for text in used if not is_joined(face, text)] == []


@each_face
def test_no_grapheme_that_a_face_is_used_for_shows_a_dotted_circle(face: Face) -> None:
    num_dots = num_pieces(face, "ি")  # a sign without a letter: HarfBuzz gives it a circle of eight dots or more
    assert num_dots >= 8
    assert max(num_pieces(face, text) for text in TEXTS if shapes_well(face, text)) < 8


@pytest.mark.parametrize(("sign", "pieces"), [("ং", 2), ("ঃ", 2)])
def test_signs_alone_come_without_a_dotted_circle(sign: str, pieces: int) -> None:
    for face in find_faces(())[1][:3]:
        assert num_pieces(face, sign) == pieces


def test_a_conjunct_that_a_font_leaves_unjoined_is_refused() -> None:
    handwritten, _ = find_faces(())
    assert shapes_well(handwritten, "ক্ষ")
    assert not shapes_well(handwritten, "ক্\u200cষ")  # the zero width non-joiner forces a visible hasanta


@each_face
def test_a_font_that_has_lost_its_conjuncts_is_refused_for_them_alone(face: Face, tmp_path: Path) -> None:
    broken = change_font(face, tmp_path, b"GSUB", b"GSUX")  # the table of substitutions: now one that nobody knows
    unjoined = {text for text in TEXTS if not is_joined(broken, text)}
    assert "ক্ষ" in unjoined
    assert {text for text in TEXTS if HASANTA in text} == unjoined == {t for t in TEXTS if not shapes_well(broken, t)}


@pytest.mark.parametrize(
    ("name", "feature"),
    [("Bangla", b"blwf"), ("Bangla", b"pres"), ("NotoSansBengali[wdth,wght][200.0, 100.0]", b"cjct")],
)
def test_a_font_that_has_lost_some_conjuncts_is_refused_for_them(name: str, feature: bytes, tmp_path: Path) -> None:
    broken = change_font(FACES[name], tmp_path, feature, b"zzzz")
    lost = [text for text in TEXTS if is_joined(FACES[name], text) and not is_joined(broken, text)]
    assert 20 < len(lost) < 1000
    assert [text for text in lost if shapes_well(broken, text)] == []


# A person's own fonts


def test_a_folder_of_fonts_adds_writers(tmp_path: Path) -> None:
    own = change_font(find_faces(())[1][0], tmp_path, b"", b"")
    _, others = find_faces((str(tmp_path),))
    assert others[-1] == own


def test_a_folder_of_fonts_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no/such/folder is not a folder"):
        find_faces(("no/such/folder",))
    (tmp_path / "notes.txt").write_text("no font")
    with pytest.raises(InputError, match="holds no font"):
        find_faces((str(tmp_path),))


# From a text to its ink


@each_face
def test_a_mask_covers_what_pillow_draws(face: Face) -> None:
    scale, _ = measure_body(face)
    font = pillow_font(face, round(scale * load_shaper(face).face.upem))
    for text in [text for text in TEXTS[::40] if shapes_well(face, text)]:
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls"))
        image = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, anchor="ls")
        mask, _ = draw_mask(face, text)
        best = cv2.matchTemplate(np.pad(mask, 4), np.asarray(image), cv2.TM_CCOEFF_NORMED).max()
        assert best > 0.85, text  # FreeType moves thin stems to whole pixels


def test_glyphs_that_cross_leave_no_hole() -> None:
    mask, _ = draw_mask(FACES["Bangla"], "র্কী")  # reph over the sign, whose contours turn the other way
    holes = cv2.connectedComponents((mask < 128).astype(np.uint8), connectivity=4)[0] - 2
    assert holes == 3  # one raster of all glyphs has 1 of them


# From ink to strokes


@each_face
def test_the_boxes_of_a_text_enclose_its_ink(face: Face) -> None:
    for text in [text for text in TEXTS[::40] if shapes_well(face, text)]:
        rows, columns = np.nonzero(draw_mask(face, text)[0] > 60)
        boxes = find_parts(face, text).boxes
        found = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
        assert found == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=2.5), text


@each_face
def test_a_reph_is_a_part_of_its_own_above_the_letter(face: Face) -> None:
    glyph = trace_glyph(*draw_mask(face, "র্ক"), find_parts(face, "র্ক"))
    reph = int(np.argmin(glyph.centres[:, 1]))
    heights: dict[bool, list[float]] = {True: [], False: []}
    for stroke, part in zip(glyph.strokes, glyph.parts, strict=True):
        heights[part == reph].append(float(stroke[:, 1].mean()))
    assert max(heights[True]) < 0  # over the head line
    assert min(heights[False]) > -0.1


def test_thinning_keeps_every_piece_and_leaves_lines_one_pixel_wide() -> None:
    image = Image.new("L", (80, 80))
    draw = ImageDraw.Draw(image)
    draw.line((10, 20, 70, 20), fill=1, width=7)
    draw.ellipse((30, 40, 60, 70), outline=1, width=6)
    skeleton = thin(np.asarray(image).copy())
    assert skeleton[5:32].sum(axis=0).max() == 1
    assert skeleton[5:32].sum() >= 50
    assert 60 <= skeleton[35:].sum() <= 90  # a ring of radius 13


@pytest.mark.parametrize("width", range(1, 9))
def test_thinning_leaves_one_pixel_of_a_dot(width: int) -> None:
    image = np.zeros((20, 20), np.uint8)
    image[5 : 5 + width, 6 : 6 + width] = 1
    rows, columns = np.nonzero(thin(image))
    assert len(rows) == 1
    assert abs(rows[0] - 4.5 - width / 2) <= 1
    assert abs(columns[0] - 5.5 - width / 2) <= 1


@each_face
def test_no_piece_of_a_glyphs_ink_is_without_a_stroke(face: Face) -> None:
    for text in [text for text in TEXTS[::20] if shapes_well(face, text)]:
        mask, head_line = draw_mask(face, text)
        _, pieces, sizes, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
        strokes = np.concatenate(trace_glyph(mask, head_line, find_parts(face, text)).strokes)
        columns, rows = np.rint(strokes[:, :2] * BODY_HEIGHT + (mask.shape[1] / 2, head_line)).astype(int).T
        specks = np.flatnonzero(sizes[:, cv2.CC_STAT_AREA] <= 8)  # pixels
        assert {*pieces[rows, columns].tolist(), 0, *specks.tolist()} == set(range(len(sizes))), text


def test_strokes_follow_the_ink_of_the_glyph() -> None:
    handwritten, _ = find_faces(())
    strokes = trace_glyph(*draw_mask(handwritten, "আ"), find_parts(handwritten, "আ")).strokes
    heights = np.concatenate(strokes)[:, 1]
    assert np.abs(heights).min() < 0.1  # on the head line
    assert np.abs(heights - 1).min() < 0.15  # at the foot
    assert len(strokes) <= 8
