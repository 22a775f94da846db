"""From probabilities to labels: what is best for macro recall, held against enumeration, loops and hand-made cases."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import make_predictions
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from okkhor.errors import InputError
from okkhor.label_triples import TrainedGraphemes, count_graphemes
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES, HEADS
from okkhor.scoring.choosing import EXPONENTS, Candidates, OutOfFold, random_parts
from okkhor.scoring.decoding import (
    Rule,
    RuleName,
    apply_rule,
    decide,
    decode,
    make_sources,
    measure_priors,
    sum_over_graphemes,
)
from okkhor.scoring.metric import competition_score

IDS = [f"Train_{k}" for k in range(60)]


def uneven_graphemes(seed: int = 0, number: int = 300) -> TrainedGraphemes:
    """Random triples in which every class occurs, with 1 to 200 images each."""
    random = np.random.default_rng(seed)
    columns = [
        np.concatenate([np.arange(head.num_classes), random.integers(0, head.num_classes, number - head.num_classes)])
        for head in HEADS
    ]
    labels = np.unique(np.stack([random.permutation(column) for column in columns], axis=1), axis=0)
    return TrainedGraphemes(labels, random.integers(1, 200, len(labels)))


def honest(seed: int, num_images: int, graphemes: TrainedGraphemes, signal: float = 3.0) -> Predictions:
    """Images of these graphemes, as frequent as there, and the exact posterior of each head given a noisy view."""
    random = np.random.default_rng(seed)
    picks = random.choice(len(graphemes.labels), num_images, p=graphemes.images / graphemes.images.sum())
    labels, probabilities = {}, {}
    for column, head in enumerate(HEADS):
        truth = graphemes.labels[picks, column]
        counts = graphemes.class_counts()[head.name]
        seen = signal * np.eye(head.num_classes)[truth] + random.normal(size=(num_images, head.num_classes))
        odds = np.exp(signal * seen) * counts / counts.sum()
        labels[head.name] = truth
        probabilities[head.name] = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions(np.array([f"Train_{seed}_{k}" for k in range(num_images)]), probabilities, labels)


def rule_of(name: RuleName, parameter: float, exponent: float, graphemes: TrainedGraphemes) -> Rule:
    priors = measure_priors({}, graphemes, "counts")
    return Rule(name, parameter, dict.fromkeys(HEAD_NAMES, exponent), priors, graphemes)


def test_a_rare_class_is_decided_for_where_it_is_likelier_than_its_prior() -> None:
    probabilities = np.array([[0.6, 0.4], [0.95, 0.05]], np.float32)
    prior = np.array([0.9, 0.1])
    assert decide(probabilities, prior, (0.0, 1.0)).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_dividing_by_the_prior_is_the_best_of_all_decisions_for_macro_recall(seed: int) -> None:
    random = np.random.default_rng(seed)
    joint = random.dirichlet(np.full(15, 0.7)).reshape(5, 3)  # p(view of an image, class): five views, three classes
    prior = joint.sum(axis=0)
    posterior = joint / joint.sum(axis=1, keepdims=True)

    def macro(decision: tuple[int, ...] | list[int]) -> float:
        hits = np.zeros(3)
        for view, label in enumerate(decision):
            hits[label] += joint[view, label]
        return float((hits / prior).mean())

    ours = decide(posterior.astype(np.float32), prior, (1.0,))[0].tolist()
    assert macro(ours) == pytest.approx(max(macro(decision) for decision in product(range(3), repeat=5)))


def test_exponent_zero_is_the_most_probable_class() -> None:
    predictions = make_predictions(IDS)
    rule = rule_of("prior", 1.0, 0.0, uneven_graphemes())
    for name, labels in apply_rule(rule, predictions).items():
        np.testing.assert_array_equal(labels, decode(predictions.probabilities)[name])


def test_the_sum_over_graphemes_is_that_of_a_loop() -> None:
    predictions, graphemes = make_predictions(IDS[:3]), uneven_graphemes(number=200)
    sums = sum_over_graphemes(predictions.probabilities, graphemes)
    for column, head in enumerate(HEADS):
        expected = np.zeros((3, head.num_classes))
        for triple in graphemes.labels:
            product_of_three = np.ones(3)
            for other, label in zip(HEADS, triple, strict=True):
                product_of_three *= predictions.probabilities[other.name][:, label]
            expected[:, triple[column]] += product_of_three
        np.testing.assert_allclose(sums[head.name], expected, rtol=1e-4, atol=1e-9)


def test_where_every_combination_occurs_the_joint_rule_changes_nothing() -> None:
    everything = np.array(list(product(*(range(head.num_classes) for head in HEADS))))
    graphemes = TrainedGraphemes(everything, np.ones(len(everything), np.int64))
    predictions = make_predictions(IDS[:4])
    (source,) = make_sources("joint", (0.1,), predictions, graphemes)
    for name in HEAD_NAMES:
        np.testing.assert_allclose(source[name], predictions.probabilities[name], rtol=1e-3)


def test_the_joint_rule_gives_up_a_combination_that_does_not_occur() -> None:
    graphemes = TrainedGraphemes(np.array([[0, 0, 0], [1, 1, 0]]), np.array([10, 10]))
    probabilities = {head.name: np.full((1, head.num_classes), 1e-6, np.float32) for head in HEADS}
    probabilities["grapheme_root"][0, :2] = 0.9, 0.1
    probabilities["vowel_diacritic"][0, :2] = 0.45, 0.55  # 0 and 1 together: a combination that never occurs
    probabilities["consonant_diacritic"][0, 0] = 1
    predictions = Predictions(np.array(["Test_0"]), probabilities)
    assert decode(probabilities)["vowel_diacritic"].tolist() == [1]
    decided = apply_rule(rule_of("joint", 0.01, 0.0, graphemes), predictions)
    assert [decided[name].tolist() for name in HEAD_NAMES] == [[0], [0], [0]]
    unheard_of = apply_rule(rule_of("joint", 1.0, 0.0, graphemes), predictions)
    assert unheard_of["vowel_diacritic"].tolist() == [1]


def test_the_mean_over_a_components_graphemes_is_the_grapheme_rule_with_exponent_one() -> None:
    graphemes = uneven_graphemes()
    even = TrainedGraphemes(graphemes.labels, np.full(len(graphemes.labels), 155))
    random = np.random.default_rng(3)
    by_grapheme = random.dirichlet(np.full(len(even.labels), 0.1), len(IDS)).astype(np.float32)
    marginals, means = {}, {}
    for column, head in enumerate(HEADS):
        carriers = [np.flatnonzero(even.labels[:, column] == label) for label in range(head.num_classes)]
        marginals[head.name] = np.stack([by_grapheme[:, places].sum(axis=1) for places in carriers], axis=1)
        means[head.name] = np.stack([by_grapheme[:, places].mean(axis=1) for places in carriers], axis=1)
    predictions = Predictions(np.array(IDS), make_predictions(IDS).probabilities, marginals=marginals)
    decided = apply_rule(rule_of("grapheme", 1.0, 1.0, even), predictions)
    for name in HEAD_NAMES:  # FACTS: how the second place decoded its 1,295 classes
        np.testing.assert_array_equal(decided[name], means[name].argmax(axis=1))


def test_the_grapheme_rule_needs_a_grapheme_head() -> None:
    with pytest.raises(InputError, match=r"no grapheme head\. Train all networks with model\.graphemes=linear"):
        apply_rule(rule_of("grapheme", 1.0, 1.0, uneven_graphemes()), make_predictions(IDS))


def test_the_priors_are_shares_of_images_or_mean_probabilities() -> None:
    predictions, graphemes = make_predictions(IDS), uneven_graphemes()
    counts = measure_priors(predictions.probabilities, graphemes, "counts")
    posterior = measure_priors(predictions.probabilities, graphemes, "posterior")
    for column, head in enumerate(HEADS):
        for label in range(head.num_classes):
            images = graphemes.images[graphemes.labels[:, column] == label].sum()
            assert counts[head.name][label] == pytest.approx(images / graphemes.images.sum())
        np.testing.assert_allclose(posterior[head.name], predictions.probabilities[head.name].mean(axis=0), rtol=1e-4)


def test_a_class_that_training_lacked_has_a_finite_prior() -> None:
    one = TrainedGraphemes(np.array([[0, 0, 0]]), np.array([100]))
    for prior in measure_priors({}, one, "counts").values():
        assert (prior > 0).all()
        assert prior.sum() == pytest.approx(1)
        assert prior[1] == pytest.approx(0.005, rel=0.6)  # half an image of 100


def test_the_exponent_of_an_honest_posterior_is_about_one_and_gains_on_new_images() -> None:
    graphemes = uneven_graphemes()
    folds = [OutOfFold(honest(seed, 3000, graphemes), graphemes) for seed in (1, 2)]
    rule = Candidates("prior", folds, "counts").make_rule()
    assert 0.7 <= rule.exponents["grapheme_root"] <= 1.3
    new = honest(3, 6000, graphemes)
    assert new.labels is not None
    plain = competition_score(new.labels, decode(new.probabilities))["score"]
    assert competition_score(new.labels, apply_rule(rule, new))["score"] > plain + 0.015


def test_each_fold_is_decided_by_the_exponent_that_is_best_on_the_others() -> None:
    graphemes = uneven_graphemes()
    folds = [OutOfFold(honest(seed, 400, graphemes), graphemes) for seed in (1, 2, 3)]
    parts = np.repeat([0, 1, 2], 400)
    decided = Candidates("prior", folds, "counts").decide_out_of_fold(parts)
    prior = measure_priors({}, graphemes, "counts")["grapheme_root"]

    def by_hand(fold: OutOfFold, exponent: float) -> NDArray[np.int64]:
        return (fold.predictions.probabilities["grapheme_root"] / prior**exponent).argmax(axis=1)

    for held_out in range(3):
        others = [fold for number, fold in enumerate(folds) if number != held_out]
        truth = np.concatenate([fold.predictions.labels["grapheme_root"] for fold in others])  # type: ignore[index]
        recalls = [
            recall_score(
                truth, np.concatenate([by_hand(fold, t) for fold in others]), labels=np.unique(truth), average="macro"
            )
            for t in EXPONENTS
        ]
        expected = by_hand(folds[held_out], EXPONENTS[int(np.argmax(recalls))])
        assert (decided["grapheme_root"][parts == held_out] != expected).mean() < 0.005  # but for rounding


def test_labels_without_meaning_bring_no_gain_to_images_that_had_no_part_in_the_choice() -> None:
    graphemes = uneven_graphemes()
    leaking, nested = [], []
    for seed in range(12):
        predictions = honest(seed, 1000, graphemes, signal=1.0)
        assert predictions.labels is not None
        order = np.random.default_rng(seed).permutation(1000)
        permuted = {name: values[order] for name, values in predictions.labels.items()}
        fold = OutOfFold(Predictions(predictions.image_ids, predictions.probabilities, permuted), graphemes)
        plain = competition_score(permuted, decode(predictions.probabilities))["score"]
        chosen = apply_rule(Candidates("prior", [fold], "counts").make_rule(), predictions)
        leaking.append(competition_score(permuted, chosen)["score"] - plain)
        parts = random_parts(1000, 5, seed)
        decided = Candidates("prior", [fold], "counts").decide_out_of_fold(parts)
        nested.append(competition_score(permuted, decided)["score"] - plain)
    noise = np.std(nested) / np.sqrt(len(nested))
    assert np.mean(leaking) > 5 * np.std(leaking) / np.sqrt(len(leaking))  # a choice on the images themselves promises
    assert np.mean(leaking) > 0.001
    assert abs(np.mean(nested)) < 3 * noise
    assert np.mean(nested) < np.mean(leaking) / 2


def test_the_rule_argmax_is_decode() -> None:
    folds = [OutOfFold(make_predictions(IDS), count_graphemes(make_predictions(IDS).labels or {}))]
    decided = Candidates("argmax", folds, "posterior").decide_out_of_fold(random_parts(len(IDS), 5, 0))
    for name in HEAD_NAMES:
        np.testing.assert_array_equal(decided[name], decode(folds[0].predictions.probabilities)[name])


def test_decisions_are_compared_on_the_mix_of_seen_and_unseen() -> None:
    graphemes = uneven_graphemes()
    plain = honest(1, 2000, graphemes)
    unseen = np.arange(2000) < 600  # 30 %, where the private test has 5.8 %
    fold = OutOfFold(replace(plain, unseen=unseen), graphemes)
    chosen = Candidates("prior", [fold], "counts").make_rule().exponents
    prior = measure_priors({}, graphemes, "counts")
    weights = np.where(unseen, 0.058 / 0.3, 0.942 / 0.7)
    assert plain.labels is not None
    for name in HEAD_NAMES:
        truth = plain.labels[name]
        recalls = [
            recall_score(
                truth,
                (plain.probabilities[name] / prior[name] ** t).argmax(axis=1),
                labels=np.unique(truth),
                average="macro",
                sample_weight=weights,
            )
            for t in EXPONENTS
        ]
        assert recalls[EXPONENTS.index(chosen[name])] == pytest.approx(max(recalls))
