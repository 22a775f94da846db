"""The label grammar, held against the real labels of the competition's graphemes."""

import unicodedata

import pytest

from okkhor.rendering.graphemes import compose, decompose, label_grapheme, order_by_coverage, read_graphemes, spelling
from okkhor.schema import HEADS


def test_the_grammar_knows_text_and_labels_of_all_graphemes_but_four() -> None:
    graphemes = read_graphemes()
    assert len(graphemes) == 1295
    assert sum(decompose(grapheme.text) == grapheme.labels for grapheme in graphemes) == 1291
    assert sum(compose(grapheme.labels) == grapheme.text for grapheme in graphemes) == 1291


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("কি", (13, 2, 0)),
        ("র্ব্য", (107, 0, 3)),
        ("স্ট্র্যা", (149, 1, 6)),
        ("কাঁ", (13, 1, 1)),
        ("র‍্যা", (123, 1, 4)),
        ("ং", (0, 0, 0)),
    ],
)
def test_text_and_labels_belong_together(text: str, labels: tuple[int, int, int]) -> None:
    assert compose(labels) == text
    assert decompose(text) == labels


@pytest.mark.parametrize("text", ["", "a", "কক", "ি", "র্ত্র"])
def test_the_grammar_knows_no_labels_of_a_text_that_is_no_grapheme(text: str) -> None:
    assert decompose(text) is None


def test_a_text_of_two_label_triples_is_a_reph_on_its_root() -> None:
    assert compose((123, 0, 2)) == compose((123, 0, 5)) == "র্র"
    assert decompose("র্র") == (123, 0, 2)


def test_a_few_graphemes_have_many_classes_of_each_head() -> None:
    few = order_by_coverage(read_graphemes())[:16]
    num_classes = [len({grapheme.labels[column] for grapheme in few}) for column in range(len(HEADS))]
    assert all(found >= least for found, least in zip(num_classes, (10, 8, 5), strict=True))


def test_equal_spellings_have_equal_labels_and_no_two_graphemes_become_one() -> None:
    """Keyboards write ড় as one sign or two, ো too; NFC changes 18 of the 1,295. র‍্য with its ZWJ is not র্য."""
    graphemes = read_graphemes()
    for form in ("NFC", "NFD"):
        for grapheme in graphemes:
            assert label_grapheme(unicodedata.normalize(form, grapheme.text) + "\u200c") == grapheme.labels
    assert len({spelling(grapheme.text) for grapheme in graphemes}) == 1295
    assert decompose("র‍্যা") != decompose("র্যা")
    assert decompose("ক্\u200cত") is None  # a ZWNJ after a hasanta shows the hasanta: no conjunct
