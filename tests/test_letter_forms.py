"""Forms of letters as hands write them, in the place of a font's."""

from itertools import chain

import numpy as np
import pytest

from okkhor.rendering.drawing import find_glyph, find_glyph_with_forms
from okkhor.rendering.fonts import Face, find_faces, shapes_well
from okkhor.rendering.graphemes import HASANTA, read_graphemes
from okkhor.rendering.letter_forms import choose_variants, compose, find_own_glyphs, put_forms, read_forms

HANDWRITTEN, PRINTED = find_faces(())
GENERATOR = np.random.default_rng(0)


def test_every_form_stands_for_a_glyph_of_the_handwritten_face() -> None:
    assert set(find_own_glyphs(HANDWRITTEN).values()) >= set(read_forms()) - {"ড়"}  # letter and dot
    for face in PRINTED:
        letters = {letter for letter in read_forms() if HASANTA not in letter[1:]}  # conjuncts are two glyphs in Noto
        assert len(letters & set(find_own_glyphs(face).values())) > len(letters) / 2


@pytest.mark.parametrize("letter", read_forms())
def test_a_form_stays_near_the_box_that_it_is_drawn_in(letter: str) -> None:
    for variant in read_forms()[letter].variants:
        points = np.concatenate(variant)
        assert (points.min(axis=0) >= (0, -1)).all()
        assert (points.max(axis=0) <= (1.15, 1.4)).all()
        assert np.ptp(points[:, 1]) > 0.7


def test_a_form_replaces_its_letter_and_nothing_else() -> None:
    glyph = find_glyph(HANDWRITTEN, "লি")
    variants = choose_variants(glyph, HANDWRITTEN, 1.0, GENERATOR)
    (part,) = (number for number, variant in enumerate(variants) if variant >= 0)
    own = put_forms(glyph, HANDWRITTEN, variants)
    form = read_forms()["ল"].variants[variants[part]]
    drawn = own.strokes[-len(form) :]
    assert own.parts[-len(form) :] == [part] * len(form)
    low, high = np.concatenate(drawn)[:, :2].min(axis=0), np.concatenate(drawn)[:, :2].max(axis=0)
    assert (low > glyph.boxes[part, 0] - 0.2).all()
    assert (high < glyph.boxes[part, 1] + 0.2).all()
    sign = np.concatenate([s for s, owner in zip(glyph.strokes, glyph.parts, strict=True) if owner != part])
    left = np.concatenate([s for s, owner in zip(own.strokes, own.parts, strict=True) if owner != part])
    assert len(left) > 0.9 * len(sign)


def test_a_glyph_without_forms_and_a_hand_without_them_keep_the_fonts_strokes() -> None:
    assert set(choose_variants(find_glyph(HANDWRITTEN, "অ"), HANDWRITTEN, 1.0, GENERATOR)) == {-1}
    assert set(choose_variants(find_glyph(HANDWRITTEN, "লা"), HANDWRITTEN, 0.0, GENERATOR)) == {-1}


def test_each_variant_is_drawn() -> None:
    glyph = find_glyph(HANDWRITTEN, "খ")
    drawn = {choose_variants(glyph, HANDWRITTEN, 1.0, GENERATOR) for _ in range(100)}
    assert len(drawn) == len(read_forms()["খ"].variants)


def test_all_graphemes_can_be_drawn_with_all_forms_in_all_faces() -> None:
    for face in (HANDWRITTEN, *PRINTED):
        for grapheme in read_graphemes():
            if shapes_well(face, grapheme.text) and set(grapheme.text) & set(chain(*read_forms())):
                glyph = find_glyph(face, grapheme.text)
                own = find_glyph_with_forms(face, grapheme.text, choose_variants(glyph, face, 1.0, GENERATOR))
                assert own.strokes
                assert np.isfinite(np.concatenate(own.strokes)).all()


def test_a_signs_form_keeps_the_letter_under_it() -> None:
    glyph = find_glyph(HANDWRITTEN, "ন্য")
    variants = choose_variants(glyph, HANDWRITTEN, 1.0, GENERATOR)
    letter, sign = variants.index(-1), int(np.argmax(variants))
    own = put_forms(glyph, HANDWRITTEN, variants)
    before = sum(len(stroke) for stroke, owner in zip(glyph.strokes, glyph.parts, strict=True) if owner == letter)
    after = sum(len(stroke) for stroke, owner in zip(own.strokes, own.parts, strict=True) if owner == letter)
    assert sign != letter
    assert after == before


@pytest.mark.parametrize("text", ["ড়", "য়"])
@pytest.mark.parametrize("face", [HANDWRITTEN, *PRINTED])
def test_a_letter_with_a_dot_keeps_one(face: Face, text: str) -> None:
    glyph = find_glyph(face, text)
    for _ in range(20):
        strokes = put_forms(glyph, face, choose_variants(glyph, face, 1.0, GENERATOR)).strokes
        dots = [stroke for stroke in strokes if np.ptp(stroke[:, :2], axis=0).max() < 0.2 and stroke[0, 1] > 0.8]
        assert len(dots) == 1


def test_nothing_of_a_fonts_letter_is_left_below_its_form() -> None:
    glyph = find_glyph(HANDWRITTEN, "ছ")
    assert max(stroke[:, 1].max() for stroke in glyph.strokes) > 1.1
    own = put_forms(glyph, HANDWRITTEN, choose_variants(glyph, HANDWRITTEN, 1.0, GENERATOR))
    assert max(stroke[:, 1].max() for stroke in own.strokes) < 1.1


# Conjuncts, from the forms of their letters


def test_the_letters_of_a_conjunct_stand_beside_or_above_each_other() -> None:
    square = (np.array([[0.0, 0.2], [0.7, 0.2], [0.7, 1.0], [0.0, 1.0]]),)
    (beside,) = compose([square], [square], "beside")
    (above,) = compose([square], [square], "above")
    for (first, second), axis in ((beside, 0), (above, 1)):
        assert first[:, axis].mean() < second[:, axis].mean()
        assert np.ptp(np.concatenate([first, second])[:, axis]) > max(np.ptp(first[:, axis]), np.ptp(second[:, axis]))


def test_a_conjunct_has_a_form_for_each_pair_of_its_letters_forms_and_each_layout() -> None:
    forms = read_forms()
    assert len(forms["ল্ম"].variants) == len(forms["ল"].variants) * len(forms["ম"].variants)
    assert len(forms["ল্ক"].variants) == 2 * len(forms["ল"].variants) * len(forms["ক"].variants)


def test_the_letters_of_a_conjunct_have_no_head_line_and_the_first_beside_another_no_stem() -> None:
    line, hook = np.array([[0.0, 0.02], [1.08, -0.02]]), np.array([[1.12, -0.03], [0.8, 0.08], [0.8, 1.0]])
    bowl, stem = np.array([[0.1, 0.3], [0.5, 0.9], [0.8, 0.5]]), np.array([[0.8, 0.0], [0.8, 1.0]])
    (beside,) = compose([(line, bowl, stem)], [(bowl, hook)], "beside")
    assert [len(stroke) for stroke in beside] == [3, 3, 2]  # a bowl; a bowl, and of the hook its stem
    (above,) = compose([(line, bowl, stem)], [(bowl, hook)], "above")
    assert [len(stroke) for stroke in above] == [3, 2, 3, 2]


def test_a_conjunct_with_a_sign_keeps_the_sign() -> None:
    glyph = find_glyph(HANDWRITTEN, "ল্লা")
    variants = choose_variants(glyph, HANDWRITTEN, 1.0, GENERATOR)
    assert sorted(variant >= 0 for variant in variants) == [False, True]
    own = put_forms(glyph, HANDWRITTEN, variants)
    sign = variants.index(-1)
    assert sum(owner == sign for owner in own.parts) >= sum(owner == sign for owner in glyph.parts) > 0
