"""Tables of mistakes, held against scikit-learn's confusion matrix and against loops by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers import make_predictions
from sklearn.metrics import confusion_matrix

from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import macro_recall
from okkhor.scoring.mistakes import confidently_wrong, most_confused, recall_per_class

NUM_IMAGES = 2000
COMPONENTS = {head.name: [f"{head.name[0]}অ{label}" for label in range(head.num_classes)] for head in HEADS}

Decided = dict[str, np.ndarray]


@pytest.fixture
def labels() -> Decided:
    """Unevenly spread, the last three classes of each head not at all."""
    random = np.random.default_rng(0)
    shares = {head.name: 1 / np.arange(1, head.num_classes - 2) for head in HEADS}
    return {name: random.choice(len(share), NUM_IMAGES, p=share / share.sum()) for name, share in shares.items()}


@pytest.fixture
def decoded(labels: Decided) -> Decided:
    """Some 70 % are right; any class may be read, also one without images."""
    random = np.random.default_rng(1)
    wrong = {head.name: random.integers(0, head.num_classes, NUM_IMAGES) for head in HEADS}
    return {name: np.where(random.random(NUM_IMAGES) < 0.7, labels[name], wrong[name]) for name in HEAD_NAMES}


@pytest.fixture
def predictions(labels: Decided) -> Predictions:
    return replace(make_predictions([f"Train_{k}" for k in range(NUM_IMAGES)]), labels=labels)


def test_recall_and_images_of_each_class_match_scikit_learn(labels: Decided, decoded: Decided) -> None:
    table = recall_per_class(labels, decoded)
    assert table.columns.tolist() == ["head", "label", "images", "recall"]
    for head in HEADS:
        matrix = confusion_matrix(labels[head.name], decoded[head.name], labels=range(head.num_classes))
        rows = table[table["head"] == head.name]
        assert sorted(rows["label"]) == np.unique(labels[head.name]).tolist()
        for row in rows.itertuples():
            assert row.images == matrix[row.label].sum()
            assert row.recall == pytest.approx(matrix[row.label, row.label] / matrix[row.label].sum())
        assert rows["recall"].mean() == pytest.approx(macro_recall(labels[head.name], decoded[head.name]))


def test_classes_stand_by_head_the_worst_first_and_of_equal_ones_the_largest(labels: Decided, decoded: Decided) -> None:
    table = recall_per_class(labels, decoded)
    order = [HEAD_NAMES.index(name) for name in table["head"]]
    keys = list(zip(order, table["recall"], -table["images"], table["label"], strict=True))
    assert keys == sorted(keys)
    assert table.index.tolist() == list(range(len(table)))


def test_training_images_and_texts_stand_beside_their_class(labels: Decided, decoded: Decided) -> None:
    counts = {head.name: 1000 + 7 * np.arange(head.num_classes) for head in HEADS}
    table = recall_per_class(labels, decoded, counts, COMPONENTS)
    assert table.columns.tolist() == ["head", "label", "component", "images", "training_images", "recall"]
    for row in table.itertuples():
        assert row.training_images == 1000 + 7 * row.label
        assert row.component == f"{row.head[0]}অ{row.label}"


def test_confused_pairs_are_the_largest_counts_beside_the_diagonal(labels: Decided, decoded: Decided) -> None:
    table = most_confused(labels, decoded, 12)
    assert table.columns.tolist() == ["head", "truth", "decoded", "images", "share"]
    assert table["head"].tolist() == [name for name in HEAD_NAMES for _ in range(12)]
    for name, rows in table.groupby("head"):
        pairs = zip(labels[name].tolist(), decoded[name].tolist(), strict=True)
        counts = Counter((truth, read) for truth, read in pairs if truth != read)
        assert rows["images"].tolist() == [number for _, number in counts.most_common(12)]
        for row in rows.itertuples():
            assert row.images == counts[row.truth, row.decoded]
            assert row.share == pytest.approx(row.images / (labels[name] == row.truth).sum())


def test_pairs_that_do_not_occur_are_not_listed(labels: Decided, decoded: Decided) -> None:
    table = most_confused(labels, decoded, 10**6)
    assert (table["images"] > 0).all()
    for name, rows in table.groupby("head"):
        assert rows["images"].sum() == (labels[name] != decoded[name]).sum()
    one_mistake = {name: values.copy() for name, values in labels.items()}
    one_mistake["vowel_diacritic"][5] = (labels["vowel_diacritic"][5] + 1) % 11
    (row,) = most_confused(labels, one_mistake, 12).itertuples()
    assert (row.head, row.truth, row.images) == ("vowel_diacritic", labels["vowel_diacritic"][5], 1)


def test_the_most_confident_mistakes_are_those_of_a_loop_by_hand(predictions: Predictions) -> None:
    decoded = decode(predictions.probabilities)
    table = confidently_wrong(predictions, decoded, 50)
    columns = ["image_id", "head", "truth", "decoded", "decoded_probability", "truth_probability"]
    assert table.columns.tolist() == columns
    assert predictions.labels is not None
    expected = []
    for name in HEAD_NAMES:
        for row, image_id in enumerate(predictions.image_ids.tolist()):
            truth, read = int(predictions.labels[name][row]), int(decoded[name][row])
            values = predictions.probabilities[name][row]
            if truth != read:
                expected.append((image_id, name, truth, read, float(values[read]), float(values[truth])))
    expected.sort(key=lambda row: (-row[4], row[5]))
    assert list(table.itertuples(index=False, name=None)) == expected[:50]


def test_of_equally_sure_mistakes_the_one_with_the_least_probable_truth_comes_first(predictions: Predictions) -> None:
    values = {name: np.zeros_like(table) for name, table in predictions.probabilities.items()}
    values["consonant_diacritic"][:3, :3] = [[0.6, 0.3, 0.1], [0.6, 0.1, 0.3], [0.6, 0.2, 0.2]]
    assert predictions.labels is not None
    labels = {name: np.zeros(NUM_IMAGES, np.int64) for name in HEAD_NAMES}
    decoded = {name: table.copy() for name, table in labels.items()}
    labels["consonant_diacritic"][:3] = 1
    table = confidently_wrong(replace(predictions, probabilities=values, labels=labels), decoded, 2)
    assert table["image_id"].tolist() == ["Train_1", "Train_2"]


def test_the_probability_is_that_of_the_decided_class_even_where_another_is_likelier(predictions: Predictions) -> None:
    least = {name: values.argmin(axis=1) for name, values in predictions.probabilities.items()}
    table = confidently_wrong(predictions, least, 5)
    rows = {image_id: row for row, image_id in enumerate(predictions.image_ids.tolist())}
    for row in table.itertuples():
        assert row.decoded_probability == predictions.probabilities[row.head][rows[row.image_id]].min()


def test_texts_stand_beside_the_labels_of_both_tables_of_pairs(predictions: Predictions, decoded: Decided) -> None:
    assert predictions.labels is not None
    for table in (
        most_confused(predictions.labels, decoded, 9, COMPONENTS),
        confidently_wrong(predictions, decoded, 9, COMPONENTS),
    ):
        place = table.columns.tolist().index("decoded")
        assert table.columns[place : place + 3].tolist() == ["decoded", "truth_text", "decoded_text"]
        for row in table.itertuples():
            assert row.truth_text == COMPONENTS[row.head][row.truth]
            assert row.decoded_text == COMPONENTS[row.head][row.decoded]


def test_without_mistakes_the_tables_are_empty_and_keep_their_columns(predictions: Predictions) -> None:
    assert predictions.labels is not None
    assert (recall_per_class(predictions.labels, predictions.labels)["recall"] == 1).all()
    for components in (None, COMPONENTS):
        confused = most_confused(predictions.labels, predictions.labels, 5, components)
        sure = confidently_wrong(predictions, predictions.labels, 5, components)
        assert len(confused) == len(sure) == 0
        assert {"head", "truth", "decoded"} <= set(confused) & set(sure)
