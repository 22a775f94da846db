"""Forms of letters as hands write them replace the font's, and nothing else."""

from itertools import chain

import numpy as np
import pytest

from okkhor.rendering.fonts import Face, find_faces, shapes_well
from okkhor.rendering.graphemes import HASANTA, read_graphemes
from okkhor.rendering.letter_forms import choose_variants, draw_forms, find_forms, join_letters, read_forms
from okkhor.rendering.strokes import Glyph, trace_glyph

HANDWRITTEN, PRINTED = find_faces(())
GENERATOR = np.random.default_rng(0)


def find_letters(face: Face) -> set[str]:
    """The letters and signs for whose glyph in this face there is a form."""
    found = {id(form) for form in find_forms(face).values()}
    return {letter for letter, form in read_forms().items() if id(form) in found}


def choose_all(face: Face, text: str) -> tuple[tuple[int, ...], Glyph]:
    """The glyph with a form for each part that has one, and the variants."""
    variants = choose_variants(face, text, 1.0, GENERATOR)
    return variants, draw_forms(face, text, variants)


def num_points(glyph: Glyph, part: int) -> int:
    return sum(len(stroke) for stroke, owner in zip(glyph.strokes, glyph.owners, strict=True) if owner == part)


def test_every_form_stands_for_a_glyph_of_the_handwritten_face() -> None:
    assert find_letters(HANDWRITTEN) >= set(read_forms()) - {"ড়", "ঢ়"}  # letter and dot
    letters = {letter for letter in read_forms() if HASANTA not in letter[1:]}  # conjuncts are two glyphs in Noto
    for face in PRINTED:
        assert len(letters & find_letters(face)) > len(letters) / 2


def test_a_form_stays_near_the_box_that_it_is_drawn_in() -> None:
    for letter, form in read_forms().items():
        for variant in form.variants:
            points = np.concatenate(variant)
            assert (points.min(axis=0) >= (0, -1)).all(), letter
            assert (points.max(axis=0) <= (1.15, 1.4)).all(), letter
            assert np.ptp(points[:, 1]) > 0.7, letter


def test_a_form_replaces_its_letter_and_nothing_else() -> None:
    glyph = trace_glyph(HANDWRITTEN, "লি")
    variants, own = choose_all(HANDWRITTEN, "লি")
    (part,) = (number for number, variant in enumerate(variants) if variant >= 0)
    form = read_forms()["ল"].variants[variants[part]]
    drawn = np.concatenate(own.strokes[-len(form) :])[:, :2]
    assert own.owners[-len(form) :] == [part] * len(form)
    assert (drawn.min(axis=0) > glyph.boxes[part, 0] - 0.2).all()
    assert (drawn.max(axis=0) < glyph.boxes[part, 1] + 0.2).all()
    assert num_points(own, 1 - part) > 0.9 * num_points(glyph, 1 - part)


def test_a_glyph_without_forms_and_a_hand_without_them_keep_the_fonts_strokes() -> None:
    assert set(choose_variants(HANDWRITTEN, "ঃ", 1.0, GENERATOR)) == {-1}
    assert set(choose_variants(HANDWRITTEN, "লা", 0.0, GENERATOR)) == {-1}
    assert draw_forms(HANDWRITTEN, "ঃ", (-1,)) is trace_glyph(HANDWRITTEN, "ঃ")


def test_each_variant_is_chosen() -> None:
    drawn = {choose_variants(HANDWRITTEN, "খ", 1.0, GENERATOR) for _ in range(100)}
    assert drawn == {(variant,) for variant in range(len(read_forms()["খ"].variants))}


@pytest.mark.parametrize("step", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_graphemes_can_be_drawn_with_all_forms_in_all_faces(step: int) -> None:
    letters = set(chain(*read_forms()))
    texts = [grapheme.text for grapheme in read_graphemes() if set(grapheme.text) & letters][::step]
    for face, text in [(face, text) for face in (HANDWRITTEN, *PRINTED) for text in texts if shapes_well(face, text)]:
        _, own = choose_all(face, text)
        assert own.strokes
        assert np.isfinite(np.concatenate(own.strokes)).all()


@pytest.mark.parametrize("text", ["দ্য", "ল্লা"])
def test_a_form_keeps_the_letter_under_a_sign_and_the_sign_beside_a_conjunct(text: str) -> None:
    variants, own = choose_all(HANDWRITTEN, text)
    assert sorted(variant >= 0 for variant in variants) == [False, True]
    kept = variants.index(-1)
    assert num_points(own, kept) == num_points(trace_glyph(HANDWRITTEN, text), kept) > 0


@pytest.mark.parametrize("text", ["ড়", "য়"])
@pytest.mark.parametrize("face", [HANDWRITTEN, *PRINTED])
def test_a_letter_with_a_dot_keeps_one(face: Face, text: str) -> None:
    for _ in range(20):
        strokes = choose_all(face, text)[1].strokes
        dots = [stroke for stroke in strokes if np.ptp(stroke[:, :2], axis=0).max() < 0.2 and stroke[0, 1] > 0.8]
        assert len(dots) == 1


def test_nothing_of_a_fonts_letter_is_left_below_its_form() -> None:
    assert max(stroke[:, 1].max() for stroke in trace_glyph(HANDWRITTEN, "ছ").strokes) > 1.1
    assert max(stroke[:, 1].max() for stroke in choose_all(HANDWRITTEN, "ছ")[1].strokes) < 1.1


# Conjuncts, from the forms of their letters


def test_the_letters_of_a_conjunct_stand_beside_or_above_each_other() -> None:
    square = (np.array([[0.0, 0.2], [0.7, 0.2], [0.7, 1.0], [0.0, 1.0]]),)
    (beside,) = join_letters([square], [square], "beside")
    (above,) = join_letters([square], [square], "above")
    (diagonal,) = join_letters([square], [square], "diagonal")
    for (first, second), axis in ((beside, 0), (above, 1), (diagonal, 0), (diagonal, 1)):
        assert first[:, axis].mean() < second[:, axis].mean()
        assert np.ptp(np.concatenate([first, second])[:, axis]) > max(np.ptp(first[:, axis]), np.ptp(second[:, axis]))


def test_a_conjunct_has_a_form_for_each_pair_of_its_letters_forms_and_each_layout() -> None:
    forms = read_forms()
    assert len(forms["ল্ড"].variants) == len(forms["ল"].variants) * len(forms["ড"].variants)
    assert len(forms["ল্ক"].variants) == 2 * len(forms["ল"].variants) * len(forms["ক"].variants)


def test_a_conjunct_with_forms_of_its_own_takes_them_as_often_as_joined_ones() -> None:
    joined = len(read_forms()["ম"].variants) ** 2
    assert joined * 1.5 < len(read_forms()["ম্ম"].variants) <= joined * 2


def test_the_second_letter_on_a_diagonal_keeps_a_stem_up_to_the_head_line() -> None:
    bowl, stem = np.array([[0.1, 0.3], [0.5, 0.9], [0.7, 0.5]]), np.array([[0.8, 0.0], [0.8, 1.0]])
    (strokes,) = join_letters([(bowl, stem)], [(bowl, stem)], "diagonal")
    assert [stroke[:, 1].min() for stroke in strokes] == pytest.approx([0.215, 0.594, 0.0])


def test_the_letters_of_a_conjunct_have_no_head_line_and_the_first_beside_another_no_stem() -> None:
    line, hook = np.array([[0.0, 0.02], [1.08, -0.02]]), np.array([[1.12, -0.03], [0.8, 0.08], [0.8, 1.0]])
    bowl, stem = np.array([[0.1, 0.3], [0.5, 0.9], [0.8, 0.5]]), np.array([[0.8, 0.0], [0.8, 1.0]])
    (beside,) = join_letters([(line, bowl, stem)], [(bowl, hook)], "beside")
    assert [len(stroke) for stroke in beside] == [3, 3, 2]  # a bowl; a bowl, and the hook's stem
    (above,) = join_letters([(line, bowl, stem)], [(bowl, hook)], "above")
    assert [len(stroke) for stroke in above] == [3, 2, 3, 2]
