"""The graphemes that a network was trained on, counted and kept."""

from pathlib import Path

import numpy as np
import pytest

from okkhor.errors import InputError
from okkhor.label_triples import (
    TrainedGraphemes,
    count_graphemes,
    merge_graphemes,
    read_trained_graphemes,
    write_graphemes,
)
from okkhor.schema import HEAD_NAMES, HEADS


def random_labels(seed: int = 0, number: int = 500) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {head.name: random.integers(0, head.num_classes, number) for head in HEADS}


def test_graphemes_and_classes_have_the_counts_of_the_labels() -> None:
    labels = random_labels()
    found = count_graphemes(labels)
    triples = list(zip(*(labels[name].tolist() for name in HEAD_NAMES), strict=True))
    counted = dict(zip(map(tuple, found.labels.tolist()), found.images.tolist(), strict=True))
    assert counted == {triple: triples.count(triple) for triple in set(triples)}
    for name, counts in found.class_counts().items():
        assert counts.tolist() == [(labels[name] == label).sum() for label in range(len(counts))]


def test_what_two_networks_were_trained_on_is_added_up() -> None:
    one, two = random_labels(0), random_labels(1)
    both = count_graphemes({name: np.concatenate([one[name], two[name]]) for name in HEAD_NAMES})
    merged = merge_graphemes([count_graphemes(one), count_graphemes(two)])
    np.testing.assert_array_equal(merged.labels, both.labels)
    np.testing.assert_array_equal(merged.images, both.images)


def test_they_come_back_from_their_file(tmp_path: Path) -> None:
    graphemes = count_graphemes(random_labels())
    write_graphemes(graphemes, tmp_path / "graphemes.csv")
    back = read_trained_graphemes(tmp_path / "graphemes.csv")
    assert isinstance(back, TrainedGraphemes)
    np.testing.assert_array_equal(back.labels, graphemes.labels)
    np.testing.assert_array_equal(back.images, graphemes.images)


HEADER = "grapheme_root,vowel_diacritic,consonant_diacritic,images\n"


@pytest.mark.parametrize(
    "content",
    ["", "a,b\n1,2\n", HEADER, HEADER + "168,0,0,1\n", HEADER + "0,0,0,0\n", HEADER + "0,0,x,1\n", HEADER + "0,,0,1\n"],
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "graphemes.csv").write_text(content)
    with pytest.raises(InputError, match=r"graphemes\.csv"):
        read_trained_graphemes(tmp_path / "graphemes.csv")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="overwrite=true"):
        read_trained_graphemes(tmp_path / "graphemes.csv")
