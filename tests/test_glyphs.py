"""From ink to its skeleton, and to the strokes of a glyph, which follow the ink and know their part."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from okkhor.rendering.fonts import BODY_HEIGHT, Face, draw_text, find_faces, shapes_well
from okkhor.rendering.graphemes import read_graphemes
from okkhor.rendering.skeleton import skeletonize
from okkhor.rendering.strokes import trace_glyph

HANDWRITTEN, PRINTED = find_faces(())

each_face = pytest.mark.parametrize("face", [HANDWRITTEN, *PRINTED])


def test_in_a_skeleton_lines_become_one_pixel_wide_and_a_ring_stays() -> None:
    image = Image.new("L", (80, 80))
    draw = ImageDraw.Draw(image)
    draw.line((10, 20, 70, 20), fill=1, width=7)
    draw.ellipse((30, 40, 60, 70), outline=1, width=6)
    skeleton = skeletonize(np.asarray(image).copy())
    assert skeleton[5:32].sum(axis=0).max() == 1
    assert skeleton[5:32].sum() >= 50
    assert 60 <= skeleton[35:].sum() <= 90  # a ring of radius 13


@pytest.mark.parametrize("width", range(1, 9))
def test_a_skeleton_keeps_one_pixel_of_a_dot(width: int) -> None:
    image = np.zeros((20, 20), np.uint8)
    image[5 : 5 + width, 6 : 6 + width] = 1
    rows, columns = np.nonzero(skeletonize(image))
    assert len(rows) == 1
    assert abs(rows[0] - 4.5 - width / 2) <= 1
    assert abs(columns[0] - 5.5 - width / 2) <= 1


@each_face
def test_no_piece_of_a_glyphs_ink_is_without_a_stroke(face: Face) -> None:
    for text in [grapheme.text for grapheme in read_graphemes()[::40] if shapes_well(face, grapheme.text)]:
        drawn = draw_text(face, text)
        _, pieces, sizes, _ = cv2.connectedComponentsWithStats((drawn.ink > 127).astype(np.uint8))
        strokes = np.concatenate(trace_glyph(face, text).strokes)
        origin = drawn.ink.shape[1] / 2, drawn.head_line
        columns, rows = np.rint(strokes[:, :2] * BODY_HEIGHT + origin).astype(int).T
        specks = np.flatnonzero(sizes[:, cv2.CC_STAT_AREA] <= 8)  # pixels
        assert {*pieces[rows, columns].tolist(), 0, *specks.tolist()} == set(range(len(sizes))), text


@each_face
def test_a_reph_is_a_part_of_its_own_above_the_letter(face: Face) -> None:
    glyph = trace_glyph(face, "র্ক")
    reph = int(np.argmin(glyph.boxes[:, :, 1].mean(axis=1)))
    heights: dict[bool, list[float]] = {True: [], False: []}
    for stroke, owner in zip(glyph.strokes, glyph.owners, strict=True):
        heights[owner == reph].append(float(stroke[:, 1].mean()))
    assert max(heights[True]) < 0  # above the head line
    assert min(heights[False]) > -0.1


def test_a_letter_reaches_from_the_head_line_to_its_foot_in_few_strokes() -> None:
    strokes = trace_glyph(HANDWRITTEN, "আ").strokes
    heights = np.concatenate(strokes)[:, 1]
    assert np.abs(heights).min() < 0.1
    assert np.abs(heights - 1).min() < 0.15
    assert len(strokes) <= 8


def test_the_signs_that_hang_from_the_head_line_before_their_letter_are_known() -> None:
    texts = ("ক", "কা", "কি", "কে", "কৈ", "কো", "কৌ", "কী")
    assert [text for text in texts if trace_glyph(HANDWRITTEN, text).begins_with_sign] == ["কে", "কৈ", "কো", "কৌ"]
