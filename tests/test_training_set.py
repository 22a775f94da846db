"""What a fold trains on: without what is held out, blacklisted or validated with, and what test images add."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import GRAPHEMES, SMALL, TRIPLES, make_predictions, read_number

from okkhor.config import Config, DataConfig, ModelConfig
from okkhor.data import competition
from okkhor.data.competition import TrainSet
from okkhor.data.folds import Folds
from okkhor.errors import InputError
from okkhor.pipeline import pseudo_labels
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.rendered_images import EpochRenderer
from okkhor.pipeline.run import Run
from okkhor.pipeline.training_set import TrainingSet, select_training_set
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES, HEADS

CONFIG = Config(data=DataConfig(root="input/small", size=SMALL), model=ModelConfig(graphemes="linear"))


@pytest.fixture
def prepared(train_set: TrainSet, test_set: competition.TestSet, small_cache: Path) -> Prepared:
    """24 images in two folds; the first holds the grapheme খা (2, 1, 0) out."""
    numbers = np.arange(24) % 2
    unseen_in = np.where(train_set.table["grapheme"] == "খা", 0, -1)
    folds = Folds(numbers, unseen_in, Path("folds/small-unseen.csv"))
    return Prepared(train_set, train_set.table, np.ones(24, bool), test_set, folds, small_cache)


def test_a_fold_trains_on_the_others_without_the_graphemes_that_it_holds_out(prepared: Prepared) -> None:
    training = select_training_set(CONFIG, prepared, fold=0)
    table = prepared.train.table
    expected = [row for row in range(24) if row % 2 == 1 and table["grapheme"].iloc[row] != "খা"]
    assert training.rows.tolist() == expected
    for head in HEADS:
        assert training.labels[head.name].tolist() == table[head.name].iloc[expected].tolist()
    for row, number in zip(expected, training.labels["grapheme"], strict=True):
        assert training.graphemes[number].tolist() == table[list(HEAD_NAMES)].iloc[row].tolist()
    assert select_training_set(CONFIG, prepared, fold=1).rows.tolist() == list(range(0, 24, 2))


def test_a_blacklisted_image_and_one_fixed_into_a_held_out_grapheme_are_left_out(prepared: Prepared) -> None:
    before = select_training_set(CONFIG, prepared, fold=0).rows.tolist()
    usable, corrected = np.ones(24, bool), prepared.train.table.copy()
    usable[before[0]] = False
    corrected.loc[before[1], list(HEAD_NAMES)] = [2, 1, 0]  # খা, which the fold must not know
    changed = replace(prepared, usable=usable, corrected=corrected)
    assert select_training_set(CONFIG, changed, fold=0).rows.tolist() == before[2:]


def sure_of(image_ids: list[str], labels: list[tuple[int, int, int]], confidences: list[float]) -> Predictions:
    """Predictions that give each image these labels, each head with this probability."""
    probabilities = {}
    for column, head in enumerate(HEADS):
        values = np.empty((len(labels), head.num_classes), np.float32)
        for row, (triple, confidence) in enumerate(zip(labels, confidences, strict=True)):
            values[row] = (1 - confidence) / (head.num_classes - 1)
            values[row, triple[column]] = confidence
        probabilities[head.name] = values
    return replace(make_predictions(image_ids, labelled=False), probabilities=probabilities)


Pseudo = Callable[[Predictions], Config]


@pytest.fixture
def pseudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pseudo:
    """pseudo(predictions): settings of a run whose teacher has predicted this."""

    def configure(predictions: Predictions) -> Config:
        monkeypatch.setattr(pseudo_labels, "pseudo_table", lambda _config, fold: Path(f"runs/other/fold{fold}"))
        monkeypatch.setattr(pseudo_labels, "read_predictions", lambda _path: predictions)
        return replace(CONFIG, data=replace(CONFIG.data, pseudo="other", cache_dir=str(tmp_path)))

    return configure


def test_test_images_that_are_read_surely_are_added_with_what_is_read(
    prepared: Prepared, pseudo: Pseudo, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ["Test_2", "Test_0", "Test_1", "Test_3"]
    read = sure_of(ids, [(0, 2, 0), (3, 4, 4), (0, 0, 0), (9, 9, 6)], [0.99, 0.97, 0.9, 0.99])
    training = select_training_set(pseudo(read), prepared, fold=0)
    plain = select_training_set(CONFIG, prepared, fold=0)
    assert training.rows.tolist() == [*plain.rows.tolist(), 24 + 2, 24]  # 0.9 is too little; (9, 9, 6) has no class
    assert [training.labels[name][-2:].tolist() for name in HEAD_NAMES] == [[0, 3], [2, 4], [0, 4]]
    assert training.graphemes[training.labels["grapheme"][-2:]].tolist() == [[0, 2, 0], [3, 4, 4]]
    assert "Pseudo-labels: 2 of 4 test images" in capsys.readouterr().out
    assert [read_number(image) for image in np.load(training.caches[1])] == [0, 1, 2, 3]


def test_a_grapheme_that_is_held_out_does_not_come_back_through_test_images(prepared: Prepared, pseudo: Pseudo) -> None:
    read = sure_of(["Test_0", "Test_1"], [(2, 1, 0), (0, 0, 0)], [0.99, 0.99])
    config = pseudo(read)
    held_out, both = (select_training_set(config, prepared, fold).pseudo for fold in (0, 1))
    assert held_out is not None
    assert both is not None
    assert held_out["image_id"].tolist() == ["Test_1"]
    assert both["image_id"].tolist() == ["Test_0", "Test_1"]


def test_a_fold_goes_on_with_the_pseudo_labels_that_it_began_with(
    prepared: Prepared, pseudo: Pseudo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    read = sure_of(["Test_0", "Test_1"], [(0, 2, 0), (0, 0, 0)], [0.99, 0.99])
    begun = select_training_set(pseudo(read), prepared, 1)
    assert begun.pseudo is not None
    kept = Run(CONFIG.run).fold(1) / "pseudo.csv"
    kept.parent.mkdir(parents=True)
    begun.pseudo.to_csv(kept, index=False)
    other = sure_of(["Test_0", "Test_1"], [(3, 4, 4), (0, 0, 0)], [0.99, 0.5])
    again = select_training_set(pseudo(other), prepared, 1)
    assert again.rows.tolist() == begun.rows.tolist()
    for name, values in begun.labels.items():
        assert again.labels[name].tolist() == values.tolist()


@pytest.mark.parametrize(
    ("ids", "confidence", "words"),
    [(["Test_0", "Test_9"], 0.99, "Test_9 is no test image"), (["Test_0", "Test_1"], 0.5, "Lower it")],
)
def test_readings_of_other_images_or_of_none_surely_are_refused(
    prepared: Prepared, pseudo: Pseudo, ids: list[str], confidence: float, words: str
) -> None:
    read = sure_of(ids, [(0, 0, 0)] * len(ids), [confidence] * len(ids))
    with pytest.raises(InputError, match=words):
        select_training_set(pseudo(read), prepared, fold=0)


def with_rendered(fraction: float = 0.5, graphemes: str = "train") -> Config:
    return replace(CONFIG, data=replace(CONFIG.data, rendered_fraction=fraction, rendered_graphemes=graphemes))


def rendered_texts(training: TrainingSet) -> Sequence[str]:
    assert isinstance(training.prepare_epoch, EpochRenderer)
    return training.prepare_epoch.fresh.texts


def test_rendered_images_come_after_the_real_ones_with_their_own_labels(prepared: Prepared) -> None:
    plain, training = (select_training_set(config, prepared, 1) for config in (CONFIG, with_rendered()))
    num_real = len(plain.rows)
    assert training.rows.tolist() == [*plain.rows.tolist(), *range(24, 24 + num_real)]  # of the cache, then all new
    assert training.caches == [prepared.cache, Path("runs/fold1/rendered.npy")]
    labels = dict(zip(GRAPHEMES, TRIPLES, strict=True))
    for place, text in enumerate(rendered_texts(training), num_real):
        assert tuple(int(training.labels[name][place]) for name in HEAD_NAMES) == labels[text]
        assert tuple(training.graphemes[training.labels["grapheme"][place]].tolist()) == labels[text]


def test_a_held_out_grapheme_is_rendered_by_grammar_alone(prepared: Prepared) -> None:
    for fold, texts in ((0, set(GRAPHEMES) - {"খা"}), (1, set(GRAPHEMES))):
        assert set(rendered_texts(select_training_set(with_rendered(0.9, "train"), prepared, fold))) == texts
    assert "খা" in rendered_texts(select_training_set(with_rendered(0.999, "grammar"), prepared, 0))


def test_the_grapheme_head_gets_a_class_for_each_new_triple(prepared: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("grapheme\nর্ব্য\nস্ট্র্যা\n", encoding="utf-8")  # (107, 0, 3) and (149, 1, 6)
    plain, training = (select_training_set(c, prepared, 1) for c in (CONFIG, with_rendered(0.5, str(path))))
    num_known = len(plain.graphemes)
    np.testing.assert_array_equal(training.graphemes[:num_known], plain.graphemes)
    assert training.graphemes[num_known:].tolist() == [[107, 0, 3], [149, 1, 6]]
    assert set(training.labels["grapheme"][len(plain.rows) :].tolist()) == {num_known, num_known + 1}


def test_pseudo_labels_and_rendered_images_go_together(prepared: Prepared, pseudo: Pseudo) -> None:
    read = sure_of(["Test_2", "Test_0"], [(0, 2, 0), (3, 4, 4)], [0.99, 0.97])
    config = pseudo(read)
    config = replace(config, data=replace(config.data, rendered_fraction=0.5))
    training = select_training_set(config, prepared, 1)
    assert training.rows.tolist() == [*range(0, 24, 2), 24 + 2, 24, *range(28, 28 + 14)]  # 24 train, 4 test images
    assert all(len(values) == 12 + 2 + 14 for values in training.labels.values())
