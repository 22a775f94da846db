"""Calibration, held against scikit-learn, a loop by hand, and a network whose calibration is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import make_predictions
from sklearn.calibration import calibration_curve

from okkhor.predictions import Labels, Predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.mistakes import expected_calibration_error, reliability

NUM_IMAGES = 3000


def draw_labels(predictions: Predictions) -> Labels:
    """Each image's truth drawn by the probabilities themselves: a calibrated network."""
    random = np.random.default_rng(1)
    labels = {}
    for name in HEAD_NAMES:
        sums = predictions.probabilities[name].cumsum(axis=1)
        labels[name] = (sums < random.random((NUM_IMAGES, 1)) * sums[:, -1:]).sum(axis=1)
    return labels


@pytest.fixture
def predictions() -> Predictions:
    """Sharpened, so that the highest probabilities are spread over all bins."""
    made = make_predictions([f"Train_{k}" for k in range(NUM_IMAGES)])
    powers = np.random.default_rng(2).uniform(0.5, 12, (NUM_IMAGES, 1))
    sharp = {name: values**powers for name, values in made.probabilities.items()}
    sharp = {name: values / values.sum(axis=1, keepdims=True) for name, values in sharp.items()}
    return replace(made, probabilities={name: values.astype(np.float32) for name, values in sharp.items()})


def reliability_of(predictions: Predictions, num_bins: int = 10) -> pd.DataFrame:
    assert predictions.labels is not None
    return reliability(predictions.labels, predictions.probabilities, num_bins)


@pytest.mark.parametrize("num_bins", [1, 7, 10, 15])
def test_confidence_and_accuracy_of_each_bin_match_scikit_learn(predictions: Predictions, num_bins: int) -> None:
    table = reliability_of(replace(predictions, labels=draw_labels(predictions)), num_bins)
    assert table["head"].tolist() == [name for name in HEAD_NAMES for _ in range(num_bins)]
    for name, rows in table.groupby("head"):
        values = predictions.probabilities[name]
        right = draw_labels(predictions)[name] == values.argmax(axis=1)
        accuracy, confidence = calibration_curve(right, values.max(axis=1).astype(np.float64), n_bins=num_bins)
        filled = rows[rows["images"] > 0]
        np.testing.assert_allclose(filled["accuracy"], accuracy)
        np.testing.assert_allclose(filled["confidence"], confidence)
        assert rows[rows["images"] == 0][["accuracy", "confidence"]].isna().all(axis=None)
        assert rows["images"].sum() == NUM_IMAGES
        assert ((filled["bin_from"] < filled["confidence"]) & (filled["confidence"] <= filled["bin_to"])).all()


def test_the_expected_calibration_error_is_the_formula_of_guo_bin_by_bin(predictions: Predictions) -> None:
    errors = expected_calibration_error(reliability_of(predictions, 15))
    assert predictions.labels is not None
    for name in HEAD_NAMES:
        expected = 0.0
        for number in range(15):
            inside = []
            for truth, values in zip(predictions.labels[name], predictions.probabilities[name], strict=True):
                if number / 15 < values.max() <= (number + 1) / 15:
                    inside.append((float(values.max()), float(values.argmax() == truth)))
            if inside:
                confidence, accuracy = np.mean(inside, axis=0)
                expected += len(inside) / NUM_IMAGES * abs(confidence - accuracy)
        assert errors[name] == pytest.approx(expected)
        assert errors[name] > 0.3  # those labels have nothing to do with the probabilities


def test_a_network_whose_labels_are_drawn_by_its_probabilities_is_calibrated(predictions: Predictions) -> None:
    calibrated = expected_calibration_error(reliability_of(replace(predictions, labels=draw_labels(predictions))))
    assert all(error < 0.03 for error in calibrated.values())


def test_a_network_that_is_always_sure_has_its_share_of_mistakes_as_calibration_error() -> None:
    random = np.random.default_rng(3)
    labels = {head.name: random.integers(0, head.num_classes, 100) for head in HEADS}
    is_wrong = np.arange(100) < 30
    said = {head.name: (labels[head.name] + is_wrong) % head.num_classes for head in HEADS}
    sure = {head.name: np.eye(head.num_classes, dtype=np.float32)[said[head.name]] for head in HEADS}
    table = reliability(labels, sure)
    assert table[table["bin_to"] == 1]["images"].tolist() == [100, 100, 100]
    assert expected_calibration_error(table) == pytest.approx(dict.fromkeys(HEAD_NAMES, 0.3))


def test_a_probability_on_an_edge_counts_to_the_bin_below() -> None:
    halves = {head.name: np.zeros((1, head.num_classes), np.float32) for head in HEADS}
    for values in halves.values():
        values[0, :2] = 0.5
    table = reliability({name: np.zeros(1, np.int64) for name in HEAD_NAMES}, halves, num_bins=4)
    assert table["images"].tolist() == [0, 1, 0, 0] * 3
    assert table[table["images"] == 1]["accuracy"].tolist() == [1.0] * 3


def test_too_little_confidence_does_not_make_up_for_too_much() -> None:
    labels = {head.name: np.repeat([0, 1], 10) for head in HEADS}  # ten are right at 0.6, ten are wrong at 0.9
    said = {head.name: np.zeros((20, head.num_classes), np.float32) for head in HEADS}
    for values in said.values():
        values[:10, :2], values[10:, :2] = [0.6, 0.4], [0.9, 0.1]
    errors = expected_calibration_error(reliability(labels, said))
    assert errors == pytest.approx(dict.fromkeys(HEAD_NAMES, (0.4 + 0.9) / 2))
