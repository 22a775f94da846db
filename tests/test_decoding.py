"""From probabilities to labels: what is best for macro recall, held against enumeration, loops and cases by hand."""

from itertools import product

import numpy as np
import pytest
from helpers import make_predictions, uneven_graphemes

from okkhor.errors import InputError
from okkhor.label_triples import TripleCounts
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.decoding import (
    Rule,
    RuleName,
    apply_rule,
    decide,
    decode,
    measure_priors,
    sum_over_graphemes,
)

PREDICTIONS = make_predictions([f"Train_{k}" for k in range(60)])
GRAPHEMES = uneven_graphemes()


def rule_of(name: RuleName, parameter: float, exponent: float, graphemes: TripleCounts = GRAPHEMES) -> Rule:
    return Rule(name, parameter, dict.fromkeys(HEAD_NAMES, exponent), measure_priors(graphemes), graphemes)


def test_decoding_takes_the_most_probable_class_of_each_head() -> None:
    decoded = decode(PREDICTIONS.probabilities)
    assert decoded.array.dtype == np.int64
    for name, rows in PREDICTIONS.probabilities.items():
        assert decoded[name].tolist() == [max(range(len(row)), key=row.__getitem__) for row in rows]
    for rule in (None, rule_of("prior", 1.0, exponent=0.0)):
        np.testing.assert_array_equal(apply_rule(rule, PREDICTIONS).array, decoded.array)


def test_a_rare_class_is_decided_for_where_it_is_likelier_than_its_prior() -> None:
    probabilities = np.array([[0.6, 0.4], [0.95, 0.05]], np.float32)
    prior = np.array([0.9, 0.1])
    assert decide(probabilities, prior, (0.0, 1.0)).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_dividing_by_the_prior_is_the_best_of_all_decisions_for_macro_recall(seed: int) -> None:
    random = np.random.default_rng(seed)
    joint = random.dirichlet(np.full(15, 0.7)).reshape(5, 3)  # p(image, class): five images, three classes
    prior = joint.sum(axis=0)
    posterior = joint / joint.sum(axis=1, keepdims=True)

    def macro_recall(decision: tuple[int, ...]) -> float:
        hits = np.zeros(3)
        for image, label in enumerate(decision):
            hits[label] += joint[image, label]
        return float((hits / prior).mean())

    ours = tuple(decide(posterior.astype(np.float32), prior, (1.0,))[0].tolist())
    assert macro_recall(ours) == pytest.approx(max(map(macro_recall, product(range(3), repeat=5))))


def test_the_sum_over_graphemes_is_that_of_a_loop() -> None:
    graphemes = uneven_graphemes(200)
    sums = sum_over_graphemes(PREDICTIONS.probabilities, graphemes)
    for column, head in enumerate(HEADS):
        expected = np.zeros((60, head.num_classes))
        for triple in graphemes.triples:
            product_of_three = np.ones(60)
            for name, label in zip(HEAD_NAMES, triple, strict=True):
                product_of_three *= PREDICTIONS.probabilities[name][:, label]
            expected[:, triple[column]] += product_of_three
        np.testing.assert_allclose(sums[head.name], expected, rtol=1e-4, atol=1e-9)


def test_the_joint_rule_gives_up_a_combination_that_does_not_occur() -> None:
    graphemes = TripleCounts(np.array([[0, 0, 0], [1, 1, 0]]), np.array([10, 10]))
    probabilities = {head.name: np.full((1, head.num_classes), 1e-6, np.float32) for head in HEADS}
    probabilities["grapheme_root"][0, :2] = 0.9, 0.1
    probabilities["vowel_diacritic"][0, :2] = 0.45, 0.55  # 0 and 1 together: a combination that never occurs
    probabilities["consonant_diacritic"][0, 0] = 1
    predictions = Predictions(np.array(["Test_0"]), probabilities)
    assert decode(probabilities).array.tolist() == [[0, 1, 0]]
    assert apply_rule(rule_of("joint", 0.01, 0.0, graphemes), predictions).array.tolist() == [[0, 0, 0]]
    assert apply_rule(rule_of("joint", 1.0, 0.0, graphemes), predictions).array.tolist() == [[0, 1, 0]]


def test_the_mean_over_a_components_graphemes_is_the_grapheme_rule_with_exponent_one() -> None:
    even = TripleCounts(GRAPHEMES.triples, np.full(len(GRAPHEMES.triples), 155))
    by_grapheme = np.random.default_rng(3).dirichlet(np.full(len(even.triples), 0.1), 60).astype(np.float32)
    marginals, means = {}, {}
    for column, head in enumerate(HEADS):
        carriers = [np.flatnonzero(even.triples[:, column] == label) for label in range(head.num_classes)]
        marginals[head.name] = np.stack([by_grapheme[:, places].sum(axis=1) for places in carriers], axis=1)
        means[head.name] = np.stack([by_grapheme[:, places].mean(axis=1) for places in carriers], axis=1)
    predictions = Predictions(PREDICTIONS.image_ids, PREDICTIONS.probabilities, marginals=marginals)
    decided = apply_rule(rule_of("grapheme", 1.0, 1.0, even), predictions)
    for name in HEAD_NAMES:  # as the competition's second place decoded its 1,295 classes
        np.testing.assert_array_equal(decided[name], means[name].argmax(axis=1))


def test_the_grapheme_rule_needs_a_grapheme_head() -> None:
    with pytest.raises(InputError, match=r"decode\.rule=grapheme needs networks with a grapheme head \(model\.graph"):
        apply_rule(rule_of("grapheme", 1.0, 1.0), PREDICTIONS)


def test_the_priors_are_shares_of_images_or_the_means_that_are_given() -> None:
    means = {name: values.mean(axis=0, dtype=np.float64) for name, values in PREDICTIONS.probabilities.items()}
    counts, posterior = measure_priors(GRAPHEMES), measure_priors(GRAPHEMES, means)
    for column, head in enumerate(HEADS):
        for label in range(head.num_classes):
            images = GRAPHEMES.images[GRAPHEMES.triples[:, column] == label].sum()
            assert counts[head.name][label] == pytest.approx(images / GRAPHEMES.images.sum())
        np.testing.assert_allclose(posterior[head.name], means[head.name], rtol=1e-4)


def test_a_class_that_training_lacked_has_a_finite_prior() -> None:
    for prior in measure_priors(TripleCounts(np.array([[0, 0, 0]]), np.array([100]))).values():
        assert (prior > 0).all()
        assert prior.sum() == pytest.approx(1)
        assert prior[1] == pytest.approx(0.005, rel=0.6)  # half an image of 100
