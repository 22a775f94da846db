"""The folds: stratified in truth, each image in one of them, kept in a file that must fit train.csv."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import GRAPHEMES, TRIPLES, Refused
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import StratifiedGroupKFold

from okkhor.config import FoldsConfig
from okkhor.data import folds
from okkhor.data.folds import Folds, audit_folds, load_folds, make_folds
from okkhor.data.tables import read_csv
from okkhor.schema import HEAD_NAMES, HEADS

ROOT = Path("input/small")
COMPETITION = Path(__file__).parents[2] / "shared/competition/train_sample_20084.csv"  # rows of Kaggle's train.csv
UNSEEN = FoldsConfig(scheme="unseen")
WRITER = FoldsConfig(group="writer")


@pytest.fixture(autouse=True)
def _folds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
    """3,000 images of 150 graphemes, 20 each, by 60 writers, some of whom wrote ten times as much as others."""
    random = np.random.default_rng(0)
    triples = np.stack([random.zipf(1.5, 150) % head.num_classes for head in HEADS], axis=1)
    table = make_table(np.repeat(triples, 20, axis=0), [f"g{k // 20}" for k in range(3000)])
    random = np.random.default_rng(5)
    shares = random.uniform(1, 10, 60)
    return table.assign(writer=[f"hand {writer}" for writer in random.choice(60, 3000, p=shares / shares.sum())])


@pytest.fixture
def by_labels() -> pd.DataFrame:
    """1,000 images, each a grapheme of its own: only the labels can be stratified. Rare classes have 10 images."""
    random = np.random.default_rng(1)
    columns = []
    for num_classes in (60, 11, 7):
        rare = np.repeat(np.arange(1, num_classes), 10)
        columns.append(random.permutation(np.concatenate([rare, np.zeros(1000 - len(rare), int)])))
    return make_table(np.stack(columns, axis=1), [f"g{k}" for k in range(1000)])


def plain(numbers: np.ndarray) -> Folds:
    """Folds that hold no grapheme out."""
    return Folds(numbers, np.full(len(numbers), -1), Path("folds/x.csv"))


def number_splits(splits: Iterable[tuple[np.ndarray, np.ndarray]], num_rows: int) -> np.ndarray:
    """The fold of each row, as another library splits them."""
    numbers = np.zeros(num_rows, np.int64)
    for fold, (_, rows) in enumerate(splits):
        numbers[rows] = fold
    return numbers


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
    """The library casts integer labels to bool: classes of 10 images are then left to chance."""
    numbers = make_folds(by_labels, FoldsConfig())
    rare = by_labels["grapheme_root"] != 0
    spread = pd.crosstab(by_labels["grapheme_root"][rare], numbers[rare])
    assert spread.shape == (59, 5)
    assert 1 <= spread.to_numpy().min() <= spread.to_numpy().max() <= 3  # 2 would be even
    assert largest_gap(by_labels, numbers) <= 2
    splitter = MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
    integers = number_splits(splitter.split(rare, by_labels[list(HEAD_NAMES)].to_numpy()), len(rare))
    by_chance = np.random.default_rng(0).permutation(np.arange(len(rare)) % 5)
    assert min(largest_gap(by_labels, integers), largest_gap(by_labels, by_chance)) >= 4


@pytest.mark.parametrize(
    ("table", "config"),
    [("by_grapheme", FoldsConfig()), ("by_labels", FoldsConfig()), ("by_grapheme", WRITER), ("by_grapheme", UNSEEN)],
)
def test_the_seed_fixes_the_folds_and_another_changes_them(
    table: str, config: FoldsConfig, request: pytest.FixtureRequest
) -> None:
    frame: pd.DataFrame = request.getfixturevalue(table)
    first, again, other = (
        load_folds(frame, Path(place), replace(config, seed=seed)) for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (first.path.read_bytes(), first.has_unseen) == (again.path.read_bytes(), config is UNSEEN)
    attribute = "unseen_in" if config is UNSEEN else "numbers"
    assert (getattr(first, attribute) != getattr(other, attribute)).any()


def test_folds_are_made_once_and_kept_under_other_settings_which_is_said(
    by_grapheme: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, changes, told in (
        (FoldsConfig(), {"seed": 1}, "folds/small.csv is kept, although folds.seed=1 would"),
        (UNSEEN, {"unseen_share": 0.1}, "unseen.csv is kept, although folds.seed=0 and folds.unseen_share=0.1 would"),
    ):
        made = load_folds(by_grapheme, ROOT, config)
        load_folds(by_grapheme, ROOT, config)
        assert capsys.readouterr().out == ""
        kept = load_folds(by_grapheme, ROOT, replace(config, **changes))
        np.testing.assert_array_equal(kept.numbers, made.numbers)
        np.testing.assert_array_equal(kept.unseen_in, made.unseen_in)
        assert told in capsys.readouterr().out


Change = Callable[[pd.DataFrame], pd.DataFrame]


def fill(**columns: object) -> Change:
    """Write one value into a whole column, or an array."""
    return lambda table: table.assign(**columns)


@pytest.mark.parametrize(
    ("scheme", "change", "words"),
    [
        ("stratified", fill(image_id=[f"Other_{k}" for k in range(24)]), "24 images have no fold, 24 images are not"),
        ("stratified", lambda split: split[:-1], "1 images have no fold, 0 images are not in train.csv"),
        ("stratified", lambda split: pd.concat([split, split[:1].assign(image_id="x")]), "(the first: x)"),
        ("stratified", lambda split: pd.concat([split, split[:1]]), "line 26: image_id Train_0 is on line 2 already"),
        ("stratified", fill(fold=np.arange(24) % 3), "has the folds [0, 1, 2], but folds.num_folds=2"),
        ("stratified", fill(fold=1), "has the folds [1], but folds.num_folds=2"),
        ("stratified", fill(fold="a"), "line 2: fold is 'a'"),
        ("stratified", lambda split: split.rename(columns={"fold": "kfold"}), "missing: fold; extra: kfold"),
        ("stratified", fill(unseen_in=-1), "extra: unseen_in"),
        ("unseen", lambda split: split[["image_id", "fold"]], "missing: unseen_in"),
        ("unseen", fill(unseen_in="x"), "line 2: unseen_in is 'x', expected -1 or a fold up to 1"),
        ("unseen", fill(unseen_in=""), "line 2: unseen_in is empty"),
        ("unseen", fill(unseen_in=-1), "fold 0 has no image of a grapheme that it holds out"),
        (
            "unseen",
            lambda s: s.assign(unseen_in=s["unseen_in"].where(s.index != 5, 1 - s["unseen_in"] % 2)),
            "unseen_in differs for",
        ),
    ],
)
def test_a_folds_file_that_does_not_fit_is_refused(
    small: pd.DataFrame, refused: Refused, scheme: str, change: Change, words: str
) -> None:
    config = FoldsConfig(num_folds=2, scheme=scheme)  # type: ignore[arg-type]
    path = load_folds(small, ROOT, config).path
    change(pd.read_csv(path)).to_csv(path, index=False)
    refused([str(path), words, f"\nDelete {path} to have it made again"], load_folds, small, ROOT, config)


def test_too_few_images_are_refused_and_a_class_that_a_training_lacks_unless_it_has_one_image(
    small: pd.DataFrame, refused: Refused
) -> None:
    refused(["3 images", "folds.num_folds=5"], load_folds, small[:3], ROOT, FoldsConfig())
    alternating, root_3 = np.arange(24) % 2, small["grapheme_root"] == 3  # one grapheme, four images
    words = ["folds/x.csv", "all 4 images of grapheme_root 3 are in fold 1 or held out with it", "Delete"]
    refused(words, audit_folds, small, plain(np.where(root_3, 1, alternating)))
    refused(words, audit_folds, small, Folds(alternating, np.where(root_3, 1, -1), Path("folds/x.csv")))
    small.loc[0, "consonant_diacritic"] = 6
    assert audit_folds(small, plain(alternating)).single["consonant_diacritic"] == [6]


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
    assert (audit.unseen_graphemes, audit.unseen_shares) == ([0] * 5, [0.0] * 5)


def test_a_folds_file_of_the_competitions_size_in_another_order_is_read_in_seconds() -> None:
    """numpy's set functions compare objects one with all others: 20 minutes at this size."""
    rows = np.arange(200_840)
    table = pd.DataFrame({"image_id": [f"Train_{row}" for row in rows], "fold": rows % 5})
    path = Path("many.csv")
    table.to_csv(path, index=False)
    started = time.process_time()
    np.testing.assert_array_equal(folds.read_folds(path, table[::-1], FoldsConfig()).numbers, (rows % 5)[::-1])
    assert time.process_time() - started < 15


@pytest.mark.parametrize("group", ["", "writer"])
def test_a_folds_training_has_no_image_of_a_grapheme_that_it_holds_out(by_grapheme: pd.DataFrame, group: str) -> None:
    split = load_folds(by_grapheme, ROOT, replace(UNSEEN, group=group))
    np.testing.assert_array_equal(split.numbers, make_folds(by_grapheme, FoldsConfig(group=group)))
    triples, held_out = triples_of(by_grapheme), []
    for fold in range(5):
        validation = triples.iloc[split.validation_rows(fold)]
        unseen = validation[split.unseen(fold)]
        trained = set(triples.iloc[split.training_rows(fold)])
        assert set(validation[~split.unseen(fold)]) <= trained
        held_out.append(set(unseen))
        own = np.isin(np.arange(len(triples)), split.validation_rows(fold))
        np.testing.assert_array_equal(own, split.numbers == fold)
        np.testing.assert_array_equal(split.training_rows(fold), np.flatnonzero(~own & ~triples.isin(unseen)))
        if group:
            assert not set(by_grapheme["writer"][own]) & set(by_grapheme["writer"].iloc[split.training_rows(fold)])
    numbers = [len(graphemes) for graphemes in held_out]
    assert numbers == [round(0.058 * triples.nunique())] * 5
    audit = audit_folds(by_grapheme, split)
    assert audit.unseen_graphemes == numbers
    shares = [split.unseen(fold).mean() for fold in range(5)]
    assert audit.unseen_shares == pytest.approx(shares)
    assert len(set().union(*held_out)) == sum(map(len, held_out)), "a grapheme is held out by one fold at most"


@pytest.mark.parametrize("seed", range(5))
def test_the_only_carriers_of_a_class_are_never_held_out(seed: int) -> None:
    """Roots 1 to 6 have one grapheme each, vowel 2 and consonant 3 two that go together: one of them can be spared."""
    triples = [(0, 0, 0), (0, 1, 0), *((root, 1, 0) for root in range(1, 7)), (0, 2, 3), (7, 2, 3), (7, 0, 0)]
    table = make_table(np.array(triples * 8), [str(triple) for triple in triples * 8])
    split = load_folds(table, ROOT, FoldsConfig(num_folds=2, scheme="unseen", unseen_share=0.5, seed=seed))
    held_out = {fold: set(triples_of(table)[split.unseen_in == fold]) for fold in (0, 1)}
    carriers = {"0-2-3", "7-2-3"}
    assert held_out[0] | held_out[1] <= {"0-0-0", "0-1-0", "7-0-0", *carriers}
    for fold in (0, 1):
        assert 1 <= len(held_out[fold]) < 5
        assert not carriers <= held_out[fold]


def test_a_fold_holds_out_only_graphemes_that_it_validates_with(by_labels: pd.DataFrame) -> None:
    split, triples = load_folds(by_labels, ROOT, UNSEEN), triples_of(by_labels)  # most have one image
    for fold in range(5):
        validation = triples.iloc[split.validation_rows(fold)]
        assert set(triples[split.unseen_in == fold]) == set(validation[split.unseen(fold)])


def test_graphemes_that_can_not_be_spared_are_refused(by_grapheme: pd.DataFrame, refused: Refused) -> None:
    triples = [(root, root % 2, 0) for root in range(6)]
    table = make_table(np.array(triples * 4), [str(triple) for triple in triples * 4])
    words = ["folds.scheme=unseen", "fold 0", "any of the 6", "the last of a class", "folds.scheme=stratified"]
    refused(words, load_folds, table, ROOT, replace(UNSEEN, num_folds=2))
    words = ["folds.unseen_share=0.21", "at most 1/5"]
    refused(words, load_folds, by_grapheme, ROOT, replace(UNSEEN, unseen_share=0.21))
    assert not list(Path("folds").glob("*.csv"))
    load_folds(by_grapheme, ROOT, replace(UNSEEN, num_folds=3, unseen_share=1 / 3))


def test_the_folds_of_each_scheme_lie_side_by_side_as_they_were(by_grapheme: pd.DataFrame) -> None:
    """The digest is of the file that the version before scheme=unseen wrote."""
    for config in (FoldsConfig(), WRITER, UNSEEN, replace(UNSEEN, group="writer")):
        load_folds(by_grapheme, ROOT, config)
    assert {path.name: pd.read_csv(path).columns.tolist() for path in Path("folds").glob("*.csv")} == {
        "small.csv": ["image_id", "fold"],
        "small-writer.csv": ["image_id", "fold"],
        "small-unseen.csv": ["image_id", "fold", "unseen_in"],
        "small-unseen-writer.csv": ["image_id", "fold", "unseen_in"],
    }
    digest = hashlib.sha256(Path("folds/small.csv").read_bytes()).hexdigest()
    assert digest == "0e395309ea4d0b5012220a452791eb7e97abb85ce41a9cfbec00d5fb6d6e5d6f"


@pytest.mark.skipif(not COMPETITION.exists(), reason="the competition's labels are not here")
@pytest.mark.parametrize("seed", range(3))
def test_real_labels_leave_every_class_in_training_and_the_wanted_share_unseen(seed: int) -> None:
    table = read_csv(COMPETITION, ("image_id", *HEAD_NAMES, "grapheme"))
    split = load_folds(table, ROOT, replace(UNSEEN, seed=seed))
    audit = audit_folds(table, split)
    assert audit.unseen_graphemes == [round(0.058 * triples_of(table).nunique())] * 5
    assert audit.unseen_shares == pytest.approx([0.058] * 5, abs=0.015)  # graphemes have 2 to 47 of these images
    for fold in range(5):
        training = table.iloc[split.training_rows(fold)]
        assert [training[name].nunique() for name in HEAD_NAMES] == [168, 11, 7]


def test_folds_by_writer_keep_writers_apart_about_as_evenly_as_scikit_learn(by_grapheme: pd.DataFrame) -> None:
    names, writers = np.unique(by_grapheme["writer"], return_inverse=True)
    measured: dict[str, list[list[float]]] = {"ours": [], "theirs": [], "chance": []}
    for seed in range(4):
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        theirs = number_splits(splitter.split(writers, by_grapheme["grapheme"], writers), len(writers))
        chance = np.random.default_rng(seed).permutation(np.arange(len(names)) % 5)[writers]
        ours = make_folds(by_grapheme, replace(WRITER, seed=seed))
        assert (pd.Series(ours).groupby(writers).nunique() == 1).all()
        for name, numbers in (("ours", ours), ("theirs", theirs), ("chance", chance)):
            audit = audit_folds(by_grapheme, plain(numbers))
            measured[name].append([max(audit.sizes) - min(audit.sizes), sum(audit.deviations.values())])
    mean = {name: np.mean(values, axis=0) for name, values in measured.items()}
    assert (mean["ours"] < 1.2 * mean["theirs"]).all()
    assert (mean["ours"] < 0.8 * mean["chance"]).all()


def test_writers_who_share_no_class_fill_all_folds() -> None:
    table = make_table(np.array([(root, 0, 0) for root in range(5)] * 4), [str(root) for root in range(5)] * 4)
    table["writer"] = "hand " + table["grapheme"]
    assert np.bincount(make_folds(table, WRITER)).tolist() == [4] * 5


@pytest.mark.parametrize(
    ("group", "change", "words"),
    [
        ("hand", fill(), "folds.group=hand: train.csv has no such column"),
        ("grapheme", fill(), "Added columns: writer. Name one of them"),
        ("../writer", fill(**{"../writer": "a"}), "folds.group=../writer: a file is named after it"),
        ("unseen-writer", fill(**{"unseen-writer": "a"}), "doesn't begin with unseen"),
        ("writer", fill(writer=["a", "b", ""] * 1000), "train.csv, line 4: writer is empty"),
        ("writer", fill(writer=["a", "b"] * 1500), "folds.num_folds=5: train.csv has 2 values of writer"),
    ],
)
def test_a_group_that_can_not_be_split_by_is_refused(
    by_grapheme: pd.DataFrame, refused: Refused, group: str, change: Change, words: str
) -> None:
    refused([words], load_folds, change(by_grapheme), ROOT, FoldsConfig(group=group))
    assert not Path("folds").exists()


def test_a_kept_file_with_a_writer_in_two_folds_is_refused(by_grapheme: pd.DataFrame, refused: Refused) -> None:
    path = load_folds(by_grapheme, ROOT, WRITER).path
    split = pd.read_csv(path)
    split.assign(fold=split["fold"].where(split.index != 2999, (split["fold"] + 1) % 5)).to_csv(path, index=False)
    words = ["folds/small-writer.csv", f"images of writer {by_grapheme['writer'].iloc[2999]} are in 2 folds", "Delete"]
    refused(words, audit_folds, by_grapheme, load_folds(by_grapheme, ROOT, WRITER))
