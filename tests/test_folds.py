"""The folds: stratified in truth, each image in one of them, kept in a file that must fit train.csv."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import GRAPHEMES, TRIPLES, Refused

from okkhor.config import FoldsConfig
from okkhor.data import folds
from okkhor.data.folds import Folds, audit_folds, load_folds, make_folds
from okkhor.schema import HEAD_NAMES, HEADS

ROOT = Path("input/small")


@pytest.fixture(autouse=True)
def _folds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "FOLDS", tmp_path / "folds")


def make_table(triples: np.ndarray, graphemes: list[str]) -> pd.DataFrame:
    """train.csv with these labels, (N, 3), in an order of its own."""
    table = pd.DataFrame(triples, columns=list(HEAD_NAMES)).assign(grapheme=graphemes)
    table = table.sample(frac=1, random_state=3).reset_index(drop=True)
    table.insert(0, "image_id", [f"Train_{k}" for k in range(len(table))])
    return table


@pytest.fixture
def small() -> pd.DataFrame:
    """24 images of 6 graphemes."""
    return make_table(np.array(TRIPLES * 4), GRAPHEMES * 4)


@pytest.fixture
def by_grapheme() -> pd.DataFrame:
    """3,000 images of 150 graphemes, 20 each: as in the competition, every grapheme has enough for all folds."""
    random = np.random.default_rng(0)
    triples = np.stack([random.zipf(1.5, 150) % head.num_classes for head in HEADS], axis=1)
    return make_table(np.repeat(triples, 20, axis=0), [f"g{k // 20}" for k in range(3000)])


@pytest.fixture
def by_labels() -> pd.DataFrame:
    """1,000 images, each a grapheme of its own: only the labels can be stratified. Rare classes have 10 images."""
    random = np.random.default_rng(1)
    columns = []
    for num_classes in (60, 11, 7):
        rare = np.repeat(np.arange(1, num_classes), 10)
        columns.append(random.permutation(np.concatenate([rare, np.zeros(1000 - len(rare), int)])))
    return make_table(np.stack(columns, axis=1), [f"g{k}" for k in range(1000)])


def largest_gap(table: pd.DataFrame, numbers: np.ndarray) -> float:
    """The largest difference, in images, between a class's count in a fold and its fair share: by pandas alone."""
    gaps = []
    for name in HEAD_NAMES:
        counts = pd.crosstab(table[name], numbers).to_numpy()
        gaps.append(np.abs(counts - counts.mean(axis=1, keepdims=True)).max())
    return float(max(gaps))


def test_graphemes_with_enough_images_are_spread_evenly_and_so_are_all_three_labels(by_grapheme: pd.DataFrame) -> None:
    numbers = make_folds(by_grapheme, FoldsConfig())
    assert (pd.crosstab(by_grapheme["grapheme"], numbers) == 4).all(axis=None)  # 20 images in 5 folds
    assert largest_gap(by_grapheme, numbers) == 0


def test_rare_graphemes_are_split_by_their_labels_one_hot(by_labels: pd.DataFrame) -> None:
    """Integer labels, which the library casts to bool, would leave classes of 10 images to chance: 2 in each fold."""
    numbers = make_folds(by_labels, FoldsConfig())
    by_chance = np.random.default_rng(0).permutation(np.arange(len(by_labels)) % 5)
    rare = by_labels["grapheme_root"] != 0
    spread = pd.crosstab(by_labels["grapheme_root"][rare], numbers[rare])
    assert spread.shape == (59, 5)
    assert spread.to_numpy().min() >= 1
    assert spread.to_numpy().max() <= 3
    assert largest_gap(by_labels, numbers) <= 2
    assert largest_gap(by_labels, by_chance) >= 4


def test_stratifying_integers_would_be_no_better_than_chance(by_labels: pd.DataFrame) -> None:
    """The fault that the one-hot labels avoid is still in the library."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    numbers = np.zeros(len(by_labels), int)
    integers = by_labels[list(HEAD_NAMES)].to_numpy()
    for fold, (_, rows) in enumerate(
        MultilabelStratifiedKFold(5, shuffle=True, random_state=0).split(numbers, integers)
    ):
        numbers[rows] = fold
    assert largest_gap(by_labels, numbers) >= 4


@pytest.mark.parametrize("table", ["by_grapheme", "by_labels"])
def test_every_image_is_validated_in_one_fold_and_trained_on_in_all_others(
    table: str, request: pytest.FixtureRequest
) -> None:
    frame: pd.DataFrame = request.getfixturevalue(table)
    numbers = make_folds(frame, FoldsConfig(num_folds=4))
    split = Folds(numbers, Path("x.csv"))
    everything = np.arange(len(frame))
    held_out = [split.validation_rows(fold) for fold in range(4)]
    np.testing.assert_array_equal(np.sort(np.concatenate(held_out)), everything)
    for fold, rows in enumerate(held_out):
        np.testing.assert_array_equal(np.union1d(rows, split.training_rows(fold)), everything)
        assert not np.intersect1d(rows, split.training_rows(fold)).size
        assert abs(len(rows) - len(frame) / 4) < 10


@pytest.mark.parametrize("table", ["by_grapheme", "by_labels"])
def test_the_seed_fixes_the_folds_and_another_changes_them(table: str, request: pytest.FixtureRequest) -> None:
    frame = request.getfixturevalue(table)
    first, again, other = (make_folds(frame, FoldsConfig(seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_folds_are_made_once_and_kept_under_another_seed_which_is_said(
    small: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    made = load_folds(small, ROOT, FoldsConfig(num_folds=2))
    assert made.path.name == "small.csv"
    load_folds(small, ROOT, FoldsConfig(num_folds=2))
    assert capsys.readouterr().out == ""
    read = load_folds(small, ROOT, FoldsConfig(num_folds=2, seed=1))
    np.testing.assert_array_equal(read.numbers, made.numbers)
    assert "small.csv is kept as it is; made anew with folds.seed=1" in capsys.readouterr().out


def test_a_folds_file_in_another_order_than_train_csv_gives_each_image_its_fold(small: pd.DataFrame) -> None:
    made = load_folds(small, ROOT, FoldsConfig(num_folds=2))
    pd.read_csv(made.path).sample(frac=1, random_state=0).to_csv(made.path, index=False)
    np.testing.assert_array_equal(load_folds(small, ROOT, FoldsConfig(num_folds=2)).numbers, made.numbers)
    turned = small[::-1].reset_index(drop=True)
    np.testing.assert_array_equal(load_folds(turned, ROOT, FoldsConfig(num_folds=2)).numbers, made.numbers[::-1])


Change = Callable[[pd.DataFrame], pd.DataFrame]
FOLDS_FAULTS: dict[str, tuple[Change, list[str]]] = {
    "other ids": (
        lambda split: split.assign(image_id=split["image_id"].str.replace("Train", "Other")),
        ["does not fit train.csv", "24 images have no fold", "24 images are not in", "Other_0", "Delete"],
    ),
    "an image too few": (lambda split: split[:-1], ["1 images have no fold", "Train_23"]),
    "an image too many": (
        lambda split: pd.concat([split, pd.DataFrame({"image_id": ["x"], "fold": [0]})]),
        ["0 images have no fold, 1 images are not in train.csv", "x"],
    ),
    "an image twice": (lambda split: pd.concat([split, split[:1]]), ["line 26", "Train_0", "line 2 already"]),
    "another num_folds": (
        lambda split: split.assign(fold=np.arange(24) % 3),
        ["has the folds [0, 1, 2]", "folds.num_folds=2", "Delete"],
    ),
    "an empty fold": (lambda split: split.assign(fold=1), ["has the folds [1]", "folds.num_folds=2"]),
    "a fold that is no number": (lambda split: split.assign(fold="a"), ["line 2", "fold is 'a'"]),
    "a fold of -1": (lambda split: split.assign(fold=-1), ["line 2", "fold is '-1'"]),
    "other columns": (lambda split: split.rename(columns={"fold": "kfold"}), ["missing: fold", "extra: kfold"]),
    "an index": (lambda split: split.reset_index(), ["extra: index"]),
}


@pytest.mark.parametrize("fault", FOLDS_FAULTS)
def test_a_folds_file_that_does_not_fit_is_refused(small: pd.DataFrame, refused: Refused, fault: str) -> None:
    change, words = FOLDS_FAULTS[fault]
    path = load_folds(small, ROOT, FoldsConfig(num_folds=2)).path
    change(pd.read_csv(path)).to_csv(path, index=False)
    refused(["folds/small.csv", *words], load_folds, small, ROOT, FoldsConfig(num_folds=2))


def test_fewer_images_than_folds_are_refused(small: pd.DataFrame, refused: Refused) -> None:
    refused(["3 images", "folds.num_folds=5"], load_folds, small[:3], ROOT, FoldsConfig())


def test_a_class_that_only_one_fold_has_is_refused(small: pd.DataFrame, refused: Refused) -> None:
    numbers = np.where(small["grapheme_root"] == 3, 1, np.arange(24) % 2)
    words = ["folds/small.csv", "all 4 images of grapheme_root 3 are in fold 1", "Delete"]
    refused(words, audit_folds, small, Folds(numbers, folds.FOLDS / "small.csv"))


def test_the_audit_measures_what_pandas_measures(by_labels: pd.DataFrame) -> None:
    numbers = make_folds(by_labels, FoldsConfig())
    audit = audit_folds(by_labels, Folds(numbers, Path("x.csv")))
    assert audit.sizes == pd.Series(numbers).value_counts(sort=False).sort_index().tolist()
    for name in HEAD_NAMES:
        shares = pd.crosstab(by_labels[name], numbers, normalize="columns")
        whole = by_labels[name].value_counts(normalize=True)
        assert audit.deviations[name] == pytest.approx(100 * shares.sub(whole, axis=0).abs().max(axis=None))
    assert audit.absent["grapheme_root"] == list(range(60, 168))
    assert audit.absent["vowel_diacritic"] == []


def test_a_class_of_one_image_is_reported_and_not_refused(small: pd.DataFrame) -> None:
    small.loc[0, "consonant_diacritic"] = 6
    audit = audit_folds(small, Folds(np.arange(24) % 2, Path("x.csv")))
    assert audit.single["consonant_diacritic"] == [6]


def test_a_folds_file_of_the_competitions_size_is_read_in_seconds() -> None:
    """numpy's set functions compare objects one with all others: 20 minutes at this size."""
    rows = np.arange(200_840)
    names = [head.name for head in HEADS]
    table = pd.DataFrame({"image_id": [f"Train_{row}" for row in rows], **dict.fromkeys(names, rows % 7)})
    table["grapheme"] = [f"grapheme {row % 1295}" for row in rows]
    load_folds(table, ROOT, FoldsConfig())
    started = time.monotonic()
    load_folds(table, ROOT, FoldsConfig())
    assert time.monotonic() - started < 15
