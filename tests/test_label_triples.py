"""Labels as one array, and the label triples that a network was trained on, counted and kept."""

from pathlib import Path

import numpy as np
import pytest
from helpers import Refused

from okkhor.label_triples import Labels, count_triples, find_triples, merge_triples, read_triples, write_triples
from okkhor.schema import HEAD_NAMES, HEADS


def random_labels(seed: int = 0) -> Labels:
    random = np.random.default_rng(seed)
    return Labels.from_columns({head.name: random.integers(0, head.num_classes, 500) for head in HEADS})


def test_columns_are_found_by_name_in_whatever_order_they_stand() -> None:
    labels = random_labels()
    turned = Labels.from_columns({name: labels[name] for name in reversed(HEAD_NAMES)})
    np.testing.assert_array_equal(turned.triples, labels.array)
    np.testing.assert_array_equal(turned.rows(np.array([7, 3]))["grapheme_root"], labels.array[[7, 3], 0])
    assert tuple(turned) == HEAD_NAMES[::-1]
    assert "grapheme" not in turned


def test_triples_and_classes_have_the_counts_of_the_labels() -> None:
    labels = random_labels()
    found = count_triples(labels)
    triples = list(map(tuple, labels.array.tolist()))
    counted = dict(zip(map(tuple, found.triples.tolist()), found.images.tolist(), strict=True))
    assert counted == {triple: triples.count(triple) for triple in set(triples)}
    for name, counts in found.class_counts().items():
        assert counts.tolist() == [(labels[name] == label).sum() for label in range(len(counts))]
    known = found.triples[::2]
    places = [next((k for k, one in enumerate(known.tolist()) if tuple(one) == triple), -1) for triple in triples]
    assert find_triples(labels, known).tolist() == places


def test_what_two_networks_were_trained_on_is_added_up() -> None:
    one, two = random_labels(0), random_labels(1)
    both = count_triples(Labels(np.concatenate([one.array, two.array])))
    merged = merge_triples([count_triples(one), count_triples(two)])
    np.testing.assert_array_equal(merged.triples, both.triples)
    np.testing.assert_array_equal(merged.images, both.images)


def test_triples_come_back_from_their_file(tmp_path: Path) -> None:
    graphemes = count_triples(random_labels())
    write_triples(graphemes, tmp_path / "graphemes.csv")
    back = read_triples(tmp_path / "graphemes.csv")
    np.testing.assert_array_equal(back.triples, graphemes.triples)
    np.testing.assert_array_equal(back.images, graphemes.images)


HEADER = "grapheme_root,vowel_diacritic,consonant_diacritic,images\n"


@pytest.mark.parametrize(
    "content",
    [
        *("", "a,b\n1,2\n", HEADER, HEADER + "168,0,0,1\n", HEADER + "0,0,0,0\n"),
        *(HEADER + "0,0,x,1\n", HEADER + "0,,0,1\n", HEADER + "0,0,0\n", HEADER + "0,0,0,1,1\n"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, refused: Refused, content: str) -> None:
    (tmp_path / "graphemes.csv").write_text(content)
    refused(["graphemes.csv", "overwrite=true"], read_triples, tmp_path / "graphemes.csv")


def test_a_missing_file_says_what_to_do(tmp_path: Path, refused: Refused) -> None:
    refused(["graphemes.csv", "not there", "overwrite=true"], read_triples, tmp_path / "graphemes.csv")
