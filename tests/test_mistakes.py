"""Tables of mistakes and of calibration, held against scikit-learn and against loops by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers import make_predictions
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from okkhor.label_triples import Labels
from okkhor.predictions import Predictions, Probabilities
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import macro_recall
from okkhor.scoring.mistakes import (
    confidently_wrong,
    expected_calibration_error,
    most_confused,
    recall_per_class,
    reliability,
)

NUM_IMAGES = 2000
COUNTS = {head.name: 1000 + 7 * np.arange(head.num_classes) for head in HEADS}
COMPONENTS = {head.name: [f"{head.name[0]}অ{label}" for label in range(head.num_classes)] for head in HEADS}


@pytest.fixture
def labels() -> Labels:
    """Unevenly spread, the last three classes of each head not at all."""
    random = np.random.default_rng(0)
    shares = {head.name: 1 / np.arange(1, head.num_classes - 2) for head in HEADS}
    drawn = {name: random.choice(len(share), NUM_IMAGES, p=share / share.sum()) for name, share in shares.items()}
    return Labels.from_columns(drawn)


@pytest.fixture
def decoded(labels: Labels) -> Labels:
    """Some 70 % are right; the others are any class, also one without images."""
    random = np.random.default_rng(1)
    wrong = np.stack([random.integers(0, head.num_classes, NUM_IMAGES) for head in HEADS], axis=1)
    return Labels(np.where(random.random(labels.array.shape) < 0.7, labels.array, wrong))


@pytest.fixture
def predictions(labels: Labels) -> Predictions:
    return replace(make_predictions([f"Train_{k}" for k in range(NUM_IMAGES)]), labels=labels)


def test_recall_and_images_of_each_class_match_scikit_learn(labels: Labels, decoded: Labels) -> None:
    table = recall_per_class(labels, decoded, COUNTS, None)
    assert table.columns.tolist() == ["head", "label", "images", "training_images", "recall"]
    for head in HEADS:
        matrix = confusion_matrix(labels[head.name], decoded[head.name], labels=range(head.num_classes))
        rows = table[table["head"] == head.name]
        assert sorted(rows["label"]) == np.unique(labels[head.name]).tolist()
        for row in rows.itertuples():
            assert row.images == matrix[row.label].sum()
            assert row.recall == pytest.approx(matrix[row.label, row.label] / matrix[row.label].sum())
            assert row.training_images == 1000 + 7 * row.label
        assert rows["recall"].mean() == pytest.approx(macro_recall(labels[head.name], decoded[head.name]))
    order = [HEAD_NAMES.index(name) for name in table["head"]]
    keys = list(zip(order, table["recall"], -table["images"], table["label"], strict=True))
    assert keys == sorted(keys)


def test_confused_pairs_are_the_largest_counts_beside_the_diagonal(labels: Labels, decoded: Labels) -> None:
    table = most_confused(labels, decoded, 12)
    assert table.columns.tolist() == ["head", "truth", "decoded", "images", "share"]
    assert table["head"].tolist() == [name for name in HEAD_NAMES for _ in range(12)]
    for name, rows in table.groupby("head"):
        pairs = zip(labels[name].tolist(), decoded[name].tolist(), strict=True)
        counts = Counter((truth, other) for truth, other in pairs if truth != other)
        assert rows["images"].tolist() == [number for _, number in counts.most_common(12)]
        for row in rows.itertuples():
            assert row.images == counts[row.truth, row.decoded]
            assert row.share == pytest.approx(row.images / (labels[name] == row.truth).sum())
    one_mistake = Labels(labels.array.copy())
    one_mistake["vowel_diacritic"][5] = (labels["vowel_diacritic"][5] + 1) % 11
    (row,) = most_confused(labels, one_mistake, 12).itertuples()  # pairs that do not occur are not listed
    assert (row.head, row.truth, row.images) == ("vowel_diacritic", labels["vowel_diacritic"][5], 1)


def test_the_most_confident_mistakes_are_those_of_a_loop_by_hand(predictions: Predictions, labels: Labels) -> None:
    least = Labels.from_columns({name: values.argmin(axis=1) for name, values in predictions.probabilities.items()})
    for decoded in (decode(predictions.probabilities), least):  # a rule may decide for a class that is not likely
        table = confidently_wrong(predictions, decoded, 50)
        expected = []
        for name in HEAD_NAMES:
            rows = zip(predictions.image_ids.tolist(), labels[name].tolist(), decoded[name].tolist(), strict=True)
            for (image_id, truth, wrong), values in zip(rows, predictions.probabilities[name], strict=True):
                if truth != wrong:
                    expected.append((image_id, name, truth, wrong, float(values[wrong]), float(values[truth])))
        expected.sort(key=lambda row: (-row[4], row[5]))
        assert list(table.itertuples(index=False, name=None)) == expected[:50]


def test_texts_stand_beside_their_labels(predictions: Predictions, labels: Labels, decoded: Labels) -> None:
    recalls = recall_per_class(labels, decoded, COUNTS, COMPONENTS)
    assert recalls.columns.tolist() == ["head", "label", "component", "images", "training_images", "recall"]
    assert all(row.component == COMPONENTS[row.head][row.label] for row in recalls.itertuples())
    confused = most_confused(labels, decoded, 9, COMPONENTS)
    for table in (confused, confidently_wrong(predictions, decoded, 9, COMPONENTS)):
        place = table.columns.tolist().index("decoded")
        assert table.columns[place : place + 3].tolist() == ["decoded", "truth_text", "decoded_text"]
        for row in table.itertuples():
            assert row.truth_text == COMPONENTS[row.head][row.truth]
            assert row.decoded_text == COMPONENTS[row.head][row.decoded]


def test_without_mistakes_the_tables_are_empty_and_keep_their_columns(predictions: Predictions, labels: Labels) -> None:
    assert (recall_per_class(labels, labels, COUNTS, None)["recall"] == 1).all()
    for components in (None, COMPONENTS):
        confused = most_confused(labels, labels, 5, components)
        confident = confidently_wrong(predictions, labels, 5, components)
        assert len(confused) == len(confident) == 0
        assert {"head", "truth", "decoded"} <= set(confused) & set(confident)


def sharpened(num_images: int) -> tuple[Labels, Probabilities]:
    """A calibrated network: labels are drawn by its probabilities, the highest of which are spread over all bins."""
    random = np.random.default_rng(2)
    powers, labels, probabilities = random.uniform(0.5, 12, (num_images, 1)), {}, {}
    for name, values in make_predictions([""] * num_images).probabilities.items():
        sharp = values**powers
        probabilities[name] = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
        sums = probabilities[name].cumsum(axis=1)
        labels[name] = (sums < random.random((num_images, 1)) * sums[:, -1:]).sum(axis=1)
    return Labels.from_columns(labels), probabilities


@pytest.mark.parametrize("num_bins", [1, 7, 10])
def test_confidence_and_accuracy_of_each_bin_match_scikit_learn(num_bins: int) -> None:
    labels, probabilities = sharpened(3000)
    table = reliability(labels, probabilities, num_bins)
    assert table["head"].tolist() == [name for name in HEAD_NAMES for _ in range(num_bins)]
    for name, rows in table.groupby("head"):
        values = probabilities[name]
        right = labels[name] == values.argmax(axis=1)
        accuracy, confidence = calibration_curve(right, values.max(axis=1).astype(np.float64), n_bins=num_bins)
        filled = rows[rows["images"] > 0]
        np.testing.assert_allclose(filled["accuracy"], accuracy)
        np.testing.assert_allclose(filled["confidence"], confidence)
        assert rows[rows["images"] == 0][["accuracy", "confidence"]].isna().all(axis=None)
        assert rows["images"].sum() == 3000
        assert ((filled["bin_from"] < filled["confidence"]) & (filled["confidence"] <= filled["bin_to"])).all()
    assert max(expected_calibration_error(table).values()) < 0.03


def test_the_expected_calibration_error_is_the_formula_of_guo_bin_by_bin() -> None:
    labels, probabilities = sharpened(300)
    labels = labels.rows(np.roll(np.arange(300), 1))  # without meaning
    errors = expected_calibration_error(reliability(labels, probabilities, 15))
    for name, values in probabilities.items():
        confidence, right = values.max(axis=1), values.argmax(axis=1) == labels[name]
        expected = 0.0
        for number in range(15):
            inside = (number / 15 < confidence) & (confidence <= (number + 1) / 15)
            expected += abs((right[inside] - confidence[inside].astype(float)).sum()) / 300
        assert errors[name] == pytest.approx(expected)
        assert errors[name] > 0.3


def test_a_probability_on_an_edge_counts_to_the_bin_below() -> None:
    halves = {head.name: np.zeros((1, head.num_classes), np.float32) for head in HEADS}
    for values in halves.values():
        values[0, :2] = 0.5
    table = reliability(Labels(np.zeros((1, 3), np.int64)), halves, num_bins=4)
    assert table["images"].tolist() == [0, 1, 0, 0] * 3
    assert table[table["images"] == 1]["accuracy"].tolist() == [1.0] * 3
