"""The folds: stratified in truth, each image in one of them, kept in a file that must fit train.csv."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import GRAPHEMES, TRIPLES, Refused
from sklearn.model_selection import StratifiedGroupKFold

from okkhor.config import FoldsConfig
from okkhor.data import folds
from okkhor.data.folds import Folds, audit_folds, load_folds, make_folds
from okkhor.data.tables import read_csv
from okkhor.schema import HEAD_NAMES, HEADS

ROOT = Path("input/small")
COMPETITION = Path(__file__).parents[2] / "shared/competition/train_sample_20084.csv"  # rows of Kaggle's train.csv
UNSEEN = FoldsConfig(scheme="unseen")


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


@pytest.fixture
def by_writer(by_grapheme: pd.DataFrame) -> pd.DataFrame:
    """The 3,000 images by 60 writers, some of whom wrote ten times as much as others."""
    random = np.random.default_rng(5)
    shares = random.uniform(1, 10, 60)
    writers = random.choice(60, len(by_grapheme), p=shares / shares.sum())
    return by_grapheme.assign(writer=[f"hand {writer}" for writer in writers])


def plain(numbers: np.ndarray, path: Path = Path("x.csv")) -> Folds:
    """Folds that hold no grapheme out."""
    return Folds(numbers, np.full(len(numbers), -1), path)


def triples_of(table: pd.DataFrame) -> pd.Series:
    """The label triple of each row as a text."""
    return table[list(HEAD_NAMES)].astype(str).agg("-".join, axis=1)


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
    split = plain(numbers)
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
    refused(words, audit_folds, small, plain(numbers, folds.FOLDS / "small.csv"))


def test_the_audit_measures_what_pandas_measures(by_labels: pd.DataFrame) -> None:
    numbers = make_folds(by_labels, FoldsConfig())
    audit = audit_folds(by_labels, plain(numbers))
    assert audit.sizes == pd.Series(numbers).value_counts(sort=False).sort_index().tolist()
    for name in HEAD_NAMES:
        shares = pd.crosstab(by_labels[name], numbers, normalize="columns")
        whole = by_labels[name].value_counts(normalize=True)
        assert audit.deviations[name] == pytest.approx(100 * shares.sub(whole, axis=0).abs().max(axis=None))
    assert audit.absent["grapheme_root"] == list(range(60, 168))
    assert audit.absent["vowel_diacritic"] == []


def test_a_class_of_one_image_is_reported_and_not_refused(small: pd.DataFrame) -> None:
    small.loc[0, "consonant_diacritic"] = 6
    audit = audit_folds(small, plain(np.arange(24) % 2))
    assert audit.single["consonant_diacritic"] == [6]


@pytest.mark.parametrize("group", ["", "writer"])
def test_a_folds_file_of_the_competitions_size_is_read_in_seconds(group: str) -> None:
    """numpy's set functions compare objects one with all others: 20 minutes at this size."""
    rows = np.arange(200_840)
    names = [head.name for head in HEADS]
    table = pd.DataFrame({"image_id": [f"Train_{row}" for row in rows], **dict.fromkeys(names, rows % 7)})
    table["grapheme"] = [f"grapheme {row % 1295}" for row in rows]
    table["writer"] = np.random.default_rng(0).integers(0, 20_000, len(rows)).astype(str)
    load_folds(table, ROOT, FoldsConfig(group=group))
    started = time.monotonic()
    load_folds(table, ROOT, FoldsConfig(group=group))
    assert time.monotonic() - started < 15


# scheme=unseen


@pytest.mark.parametrize("group", ["", "writer"])
def test_a_folds_training_has_no_image_of_a_grapheme_that_it_holds_out(by_writer: pd.DataFrame, group: str) -> None:
    split = load_folds(by_writer, ROOT, replace(UNSEEN, group=group))
    assert split.has_unseen
    triples = triples_of(by_writer)
    for fold in range(5):
        validation = triples.iloc[split.validation_rows(fold)]
        unseen = validation[split.unseen(fold)]
        trained = set(triples.iloc[split.training_rows(fold)])
        assert len(unseen) > 0
        assert not set(unseen) & trained
        assert set(validation[~split.unseen(fold)]) <= trained
        # nothing but the fold's own images and the graphemes that it holds out is missing from its training
        own = np.isin(np.arange(len(triples)), split.validation_rows(fold))
        np.testing.assert_array_equal(split.training_rows(fold), np.flatnonzero(~own & ~triples.isin(unseen)))


def test_a_grapheme_is_held_out_by_one_fold_at_most_and_each_image_validated_once(by_grapheme: pd.DataFrame) -> None:
    split = load_folds(by_grapheme, ROOT, UNSEEN)
    rows = np.concatenate([split.validation_rows(fold) for fold in range(5)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(by_grapheme)))
    triples = triples_of(by_grapheme)
    held_out = [set(triples.iloc[split.validation_rows(fold)][split.unseen(fold)]) for fold in range(5)]
    assert sum(map(len, held_out)) == len(set().union(*held_out))


def test_unseen_folds_are_the_stratified_ones_and_as_even_without_the_unseen_images(by_grapheme: pd.DataFrame) -> None:
    split = load_folds(by_grapheme, ROOT, UNSEEN)
    np.testing.assert_array_equal(split.numbers, make_folds(by_grapheme, FoldsConfig()))
    for fold in range(5):
        seen = by_grapheme.iloc[split.validation_rows(fold)][~split.unseen(fold)]
        assert (seen["grapheme"].value_counts() == 4).all()  # 20 images in 5 folds


@pytest.mark.parametrize("share", [0.02, 0.058, 0.1])
def test_as_many_graphemes_are_held_out_as_the_share_asks_for(by_grapheme: pd.DataFrame, share: float) -> None:
    split = load_folds(by_grapheme, ROOT, replace(UNSEEN, unseen_share=share))
    num_graphemes = triples_of(by_grapheme).nunique()
    audit = audit_folds(by_grapheme, split)
    assert audit.unseen_graphemes == [round(share * num_graphemes)] * 5


def test_the_audit_measures_the_unseen_part_of_each_fold(by_writer: pd.DataFrame) -> None:
    split = load_folds(by_writer, ROOT, replace(UNSEEN, group="writer"))
    frame = by_writer.assign(triple=triples_of(by_writer), fold=split.numbers, unseen_in=split.unseen_in)
    held_out = frame[frame["unseen_in"] >= 0].groupby("unseen_in")["triple"].nunique()
    shares = (frame["unseen_in"] == frame["fold"]).groupby(frame["fold"]).mean()
    audit = audit_folds(by_writer, split)
    assert audit.unseen_graphemes == held_out.tolist()
    assert audit.unseen_shares == pytest.approx(shares.tolist())
    stratified = audit_folds(by_writer, plain(split.numbers))
    assert stratified.unseen_graphemes == [0] * 5
    assert stratified.unseen_shares == [0.0] * 5


@pytest.mark.parametrize("seed", range(30))
def test_no_fold_loses_a_class_whatever_the_seed(by_grapheme: pd.DataFrame, seed: int) -> None:
    split = load_folds(by_grapheme, ROOT, replace(UNSEEN, seed=seed, unseen_share=0.2))
    for fold in range(5):
        training = by_grapheme.iloc[split.training_rows(fold)]
        for name in HEAD_NAMES:
            assert set(training[name]) == set(by_grapheme[name])


@pytest.mark.parametrize("seed", range(10))
def test_the_only_carriers_of_a_class_are_never_held_out(seed: int) -> None:
    """Roots 1 to 6 have one grapheme each, vowel 2 and consonant 3 two that go together: one of them can be spared."""
    triples = [(0, 0, 0), (0, 1, 0), *((root, 1, 0) for root in range(1, 7)), (0, 2, 3), (7, 2, 3), (7, 0, 0)]
    table = make_table(np.array(triples * 8), [str(triple) for triple in triples * 8])
    split = load_folds(table, ROOT, FoldsConfig(num_folds=2, scheme="unseen", unseen_share=0.5, seed=seed))
    audit_folds(table, split)
    held_out = {fold: set(triples_of(table)[split.unseen_in == fold]) for fold in (0, 1)}
    carriers = {"0-2-3", "7-2-3"}
    assert held_out[0] | held_out[1] <= {"0-0-0", "0-1-0", "7-0-0", *carriers}
    for fold in (0, 1):
        assert 1 <= len(held_out[fold]) < 5
        assert not carriers <= held_out[fold]


def test_a_grapheme_that_a_fold_has_no_image_of_is_not_held_out_there(by_labels: pd.DataFrame) -> None:
    """Each image has its own grapheme here, most also their own labels: elsewhere nobody would be validated with it."""
    split = load_folds(by_labels, ROOT, UNSEEN)
    triples = triples_of(by_labels)
    for fold in range(5):
        held_out = set(triples[split.unseen_in == fold])
        assert len(held_out) == round(0.058 * triples.nunique())
        assert held_out == set(triples[(split.unseen_in == fold) & (split.numbers == fold)])


def test_graphemes_that_can_all_not_be_spared_are_refused(refused: Refused) -> None:
    triples = [(root, root % 2, 0) for root in range(6)]
    table = make_table(np.array(triples * 4), [str(triple) for triple in triples * 4])
    words = ["folds.scheme=unseen", "fold 0", "each of the 6", "the last of a class", "folds.scheme=stratified"]
    refused(words, load_folds, table, ROOT, replace(UNSEEN, num_folds=2))
    assert not list(folds.FOLDS.glob("*.csv"))


def test_more_than_all_graphemes_are_refused_and_just_all_are_not(by_grapheme: pd.DataFrame, refused: Refused) -> None:
    words = ["folds.num_folds=5", "folds.unseen_share=0.21", "1/5 or less"]
    refused(words, load_folds, by_grapheme, ROOT, replace(UNSEEN, unseen_share=0.21))
    load_folds(by_grapheme, ROOT, replace(UNSEEN, num_folds=3, unseen_share=1 / 3))


def test_the_seed_fixes_the_held_out_graphemes_and_a_kept_file_says_that_another_differs(
    by_grapheme: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [load_folds(by_grapheme, Path(f"input/{place}"), replace(UNSEEN, seed=4)) for place in ("a", "b")]
    np.testing.assert_array_equal(made[0].unseen_in, made[1].unseen_in)
    assert capsys.readouterr().out == ""
    read = load_folds(by_grapheme, Path("input/a"), replace(UNSEEN, seed=4, unseen_share=0.1))
    np.testing.assert_array_equal(read.unseen_in, made[0].unseen_in)
    assert "a-unseen.csv is kept as it is; made anew with folds.seed=4 and folds.unseen_share=0.1" in (
        capsys.readouterr().out
    )
    other = load_folds(by_grapheme, Path("input/c"), UNSEEN)
    assert (other.unseen_in != made[0].unseen_in).any()


def test_the_folds_of_each_scheme_lie_side_by_side_and_the_plain_file_stays_as_it_was(by_writer: pd.DataFrame) -> None:
    """The digest is of the file that the version before scheme=unseen wrote."""
    for scheme in ("stratified", "unseen"):
        for group in ("", "writer"):
            load_folds(by_writer, ROOT, FoldsConfig(scheme=scheme, group=group))
    columns = {path.name: pd.read_csv(path).columns.tolist() for path in folds.FOLDS.glob("*.csv")}
    assert columns == {
        "small.csv": ["image_id", "fold"],
        "small-writer.csv": ["image_id", "fold"],
        "small-unseen.csv": ["image_id", "fold", "unseen_in"],
        "small-unseen-writer.csv": ["image_id", "fold", "unseen_in"],
    }
    digest = hashlib.sha256((folds.FOLDS / "small.csv").read_bytes()).hexdigest()
    assert digest == "0e395309ea4d0b5012220a452791eb7e97abb85ce41a9cfbec00d5fb6d6e5d6f"


UNSEEN_FAULTS: dict[str, tuple[Change, list[str]]] = {
    "a plain file": (lambda split: split[["image_id", "fold"]], ["no column unseen_in", "folds.scheme=unseen"]),
    "a word": (lambda split: split.assign(unseen_in="x"), ["line 2", "unseen_in is 'x'", "-1 to 1"]),
    "a fold that there is not": (lambda split: split.assign(unseen_in=2), ["line 2", "unseen_in is '2'"]),
    "a number below -1": (lambda split: split.assign(unseen_in=-2), ["line 2", "unseen_in is '-2'"]),
    "a fraction": (lambda split: split.assign(unseen_in=0.5), ["line 2", "unseen_in is '0.5'"]),
    "no value": (lambda split: split.assign(unseen_in=""), ["line 2", "unseen_in is empty"]),
    "a grapheme in part": (
        lambda split: split.assign(unseen_in=split["unseen_in"].where(split.index != 5, 1 - split["unseen_in"] % 2)),
        ["unseen_in is", "another image with its labels", "held out whole"],
    ),
    "nothing held out": (lambda split: split.assign(unseen_in=-1), ["fold 0 has no image of a grapheme"]),
    "an index": (lambda split: split.reset_index(), ["extra: index"]),
}


@pytest.mark.parametrize("fault", UNSEEN_FAULTS)
def test_a_folds_file_that_does_not_fit_the_scheme_is_refused(
    small: pd.DataFrame, refused: Refused, fault: str
) -> None:
    change, words = UNSEEN_FAULTS[fault]
    config = FoldsConfig(num_folds=2, scheme="unseen")
    path = load_folds(small, ROOT, config).path
    change(pd.read_csv(path)).to_csv(path, index=False)
    refused(["folds/small-unseen.csv", *words], load_folds, small, ROOT, config)


def test_a_file_with_held_out_graphemes_is_refused_by_the_plain_scheme(small: pd.DataFrame, refused: Refused) -> None:
    path = load_folds(small, ROOT, FoldsConfig(num_folds=2, scheme="unseen")).path
    path.rename(path.with_name("small.csv"))
    words = ["folds/small.csv", "a column unseen_in", "folds.scheme=stratified", "Delete"]
    refused(words, load_folds, small, ROOT, FoldsConfig(num_folds=2))


def test_a_class_that_a_fold_holds_out_whole_is_refused(small: pd.DataFrame, refused: Refused) -> None:
    """Root 3 has one grapheme, four images."""
    split = Folds(np.arange(24) % 2, np.where(small["grapheme_root"] == 3, 1, -1), folds.FOLDS / "small-unseen.csv")
    words = ["folds/small-unseen.csv", "all 4 images of grapheme_root 3", "in fold 1 or held out with it", "Delete"]
    refused(words, audit_folds, small, split)


@pytest.mark.skipif(not COMPETITION.exists(), reason="the competition's labels are not here")
@pytest.mark.parametrize("seed", range(3))
def test_real_labels_leave_every_class_in_training_and_the_wanted_share_unseen(seed: int) -> None:
    table = read_csv(COMPETITION, ("image_id", *HEAD_NAMES, "grapheme"), integers=HEAD_NAMES)
    split = load_folds(table, ROOT, replace(UNSEEN, seed=seed))
    audit = audit_folds(table, split)
    triples = triples_of(table)
    assert audit.unseen_graphemes == [round(0.058 * triples.nunique())] * 5
    assert audit.unseen_shares == pytest.approx([0.058] * 5, abs=0.015)  # graphemes have 2 to 47 of these images
    for fold in range(5):
        training = split.training_rows(fold)
        assert not set(triples[split.unseen_in == fold]) & set(triples.iloc[training])
        assert [table.iloc[training][name].nunique() for name in HEAD_NAMES] == [168, 11, 7]


# folds.group


def test_no_writer_is_on_both_sides_of_a_fold_and_the_rest_stays_even(by_writer: pd.DataFrame) -> None:
    split = load_folds(by_writer, ROOT, FoldsConfig(group="writer"))
    for fold in range(5):
        trained = set(by_writer["writer"].iloc[split.training_rows(fold)])
        validated = set(by_writer["writer"].iloc[split.validation_rows(fold)])
        assert not trained & validated
        assert trained | validated == set(by_writer["writer"])
    assert not split.has_unseen


def test_folds_by_writer_are_more_even_than_by_chance_and_about_as_even_as_scikit_learns(
    by_writer: pd.DataFrame,
) -> None:
    names, writers = np.unique(by_writer["writer"], return_inverse=True)
    measured: dict[str, list[list[float]]] = {"ours": [], "theirs": [], "chance": []}
    for seed in range(4):
        theirs = np.zeros(len(by_writer), np.int64)
        parts = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(theirs, by_writer["grapheme"], writers)
        for fold, (_, rows) in enumerate(parts):
            theirs[rows] = fold
        chance = np.random.default_rng(seed).permutation(np.arange(len(names)) % 5)[writers]
        ours = make_folds(by_writer, FoldsConfig(group="writer", seed=seed))
        for name, numbers in (("ours", ours), ("theirs", theirs), ("chance", chance)):
            audit = audit_folds(by_writer, plain(numbers))
            measured[name].append([max(audit.sizes) - min(audit.sizes), sum(audit.deviations.values())])
    mean = {name: np.mean(values, axis=0) for name, values in measured.items()}
    assert (mean["ours"] < 1.2 * mean["theirs"]).all()
    assert (mean["ours"] < 0.8 * mean["chance"]).all()


def test_graphemes_held_out_and_writers_apart_go_together(by_writer: pd.DataFrame) -> None:
    split = load_folds(by_writer, ROOT, replace(UNSEEN, group="writer"))
    np.testing.assert_array_equal(split.numbers, make_folds(by_writer, FoldsConfig(group="writer")))
    audit = audit_folds(by_writer, split)
    assert audit.unseen_graphemes == [round(0.058 * triples_of(by_writer).nunique())] * 5
    assert (pd.Series(split.numbers).groupby(by_writer["writer"]).nunique() == 1).all()


def test_the_seed_changes_the_groups_of_a_fold(by_writer: pd.DataFrame) -> None:
    first, again, other = (make_folds(by_writer, FoldsConfig(group="writer", seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_groups_of_rare_graphemes_are_split_by_their_labels(by_labels: pd.DataFrame) -> None:
    """250 writers of four images, each image a grapheme of its own."""
    table = by_labels.assign(writer=(np.arange(1000) // 4).astype(str))
    numbers = make_folds(table, FoldsConfig(group="writer"))
    assert (pd.Series(numbers).groupby(table["writer"]).nunique() == 1).all()
    by_chance = np.random.default_rng(0).permutation(np.arange(250) % 5)[np.arange(1000) // 4]
    audit, chance = audit_folds(table, plain(numbers)), audit_folds(table, plain(by_chance))
    assert sum(audit.deviations.values()) < 0.6 * sum(chance.deviations.values())
    assert max(audit.sizes) - min(audit.sizes) <= 8


def test_writers_who_share_no_class_fill_all_folds() -> None:
    table = make_table(np.array([(root, 0, 0) for root in range(5)] * 4), [str(root) for root in range(5)] * 4)
    table["writer"] = "hand " + table["grapheme"]
    assert np.bincount(make_folds(table, FoldsConfig(group="writer"))).tolist() == [4] * 5


GROUP_FAULTS: dict[str, tuple[str, Change, list[str]]] = {
    "no such column": ("hand", lambda table: table, ["folds.group=hand", "grapheme. Further columns: writer."]),
    "no further column": (
        "writer",
        lambda table: table.drop(columns="writer"),
        ["folds.group=writer", "no such column beside image_id,grapheme_root", "Further columns: none"],
    ),
    "a column of Kaggle's": ("grapheme", lambda table: table, ["folds.group=grapheme", "Further columns: writer"]),
    "a path": ("../writer", lambda table: table.rename(columns={"writer": "../writer"}), ["file name", "Rename"]),
    "a space": ("a b", lambda table: table.rename(columns={"writer": "a b"}), ["folds.group=a b", "file name"]),
    "the scheme's name": (
        "unseen-writer",
        lambda table: table.rename(columns={"writer": "unseen-writer"}),
        ["folds.group=unseen-writer", "not unseen"],
    ),
    "an empty cell": (
        "writer",
        lambda table: table.assign(writer=table["writer"].where(table.index != 7, "")),
        ["train.csv, line 9", "writer is empty", "folds.group=writer"],
    ),
    "too few groups": (
        "writer",
        lambda table: table.assign(writer=["a", "b"] * (len(table) // 2)),
        ["2 different values of writer", "folds.num_folds=5", "Take fewer folds"],
    ),
}


@pytest.mark.parametrize("fault", GROUP_FAULTS)
def test_a_group_that_can_not_be_split_by_is_refused(by_writer: pd.DataFrame, refused: Refused, fault: str) -> None:
    group, change, words = GROUP_FAULTS[fault]
    refused(words, load_folds, change(by_writer), ROOT, FoldsConfig(group=group))
    assert not list(folds.FOLDS.glob("*"))


def test_a_kept_file_with_a_writer_in_two_folds_is_refused(by_writer: pd.DataFrame, refused: Refused) -> None:
    config = FoldsConfig(group="writer")
    path = load_folds(by_writer, ROOT, config).path
    split = pd.read_csv(path)
    split.loc[2999, "fold"] = (split.loc[2999, "fold"] + 1) % 5
    split.to_csv(path, index=False)
    words = ["folds/small-writer.csv", f"images of writer {by_writer['writer'].iloc[2999]} are in fold", "Delete"]
    refused(words, audit_folds, by_writer, load_folds(by_writer, ROOT, config))


def test_a_class_of_one_writer_is_refused_with_the_way_out(by_writer: pd.DataFrame, refused: Refused) -> None:
    by_writer.loc[by_writer.index[by_writer["writer"] == "hand 3"][:4], "grapheme_root"] = 167
    words = ["all 4 images of grapheme_root 167 are in fold", "no folds.group"]
    refused(words, audit_folds, by_writer, load_folds(by_writer, ROOT, FoldsConfig(group="writer")))
