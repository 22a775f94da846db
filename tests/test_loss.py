"""The loss: each of its terms against an independent computation."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from okkhor.config import ARCFACE_SCALE, LossConfig
from okkhor.schema import HEADS
from okkhor.training.loss import ThreeHeadLoss, add_margin

CPU = torch.device("cpu")
NUM_IMAGES = 6
NUM_GRAPHEMES = 9


def make_logits(seed: int = 0, graphemes: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = {head.name: torch.randn(NUM_IMAGES, head.num_classes, generator=generator) for head in HEADS}
    if graphemes:
        logits["grapheme"] = torch.rand(NUM_IMAGES, NUM_GRAPHEMES, generator=generator) * 2 - 1
    return logits


LABELS = torch.tensor([[n, 2 * n, n + 1, n + 3] for n in range(5)] + [[0, 0, 0, 0]])
TRAINING = {head.name: np.array([0] * 30 + [1] * 6 + [2] * 3 + list(range(head.num_classes))) for head in HEADS}


def make_loss(consonant: str = "classes", graphemes: str = "none", **settings: Any) -> ThreeHeadLoss:
    return ThreeHeadLoss(LossConfig(**settings), consonant, TRAINING, CPU, graphemes)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("weights", "shares"), [((2, 1, 1), (0.5, 0.25, 0.25)), ((6, 3, 1), (0.6, 0.3, 0.1))])
def test_the_loss_is_torchs_mean_cross_entropy_by_the_heads_shares(
    smoothing: float, weights: tuple[int, ...], shares: tuple[float, ...]
) -> None:
    expected = torch.zeros(())
    for column, (head, share) in enumerate(zip(HEADS, shares, strict=True)):
        loss = functional.cross_entropy(make_logits()[head.name], LABELS[:, column], label_smoothing=smoothing)
        expected += share * loss
    found = make_loss(head_weights=weights, label_smoothing=smoothing)(make_logits(), LABELS)
    torch.testing.assert_close(found, expected)
    if weights == (2, 1, 1):
        torch.testing.assert_close(make_loss(label_smoothing=smoothing)(make_logits(), LABELS), expected)


def best_answers(loss: ThreeHeadLoss, labels: Tensor) -> list[Tensor]:
    """For each head, the logits (num_classes,) that minimise the loss if all images look alike."""
    logits = {head.name: torch.zeros(head.num_classes, requires_grad=True) for head in HEADS}
    optimizer = torch.optim.LBFGS(list(logits.values()), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss({name: values.expand(len(labels), -1) for name, values in logits.items()}, labels)
        value.backward()
        return value

    optimizer.step(closure)
    return list(logits.values())


def test_smoothed_and_adjusted_the_best_answer_to_a_class_prefers_no_other_class() -> None:
    """The first class is ten times as frequent as the third; shown an image of the second, neither is likelier."""
    counts = {head.name: np.repeat([0, 1, 2], [100, 30, 10]) for head in HEADS}
    loss = ThreeHeadLoss(LossConfig(label_smoothing=0.1, logit_adjustment=1.0), "classes", counts, CPU)
    for logits in best_answers(loss, torch.tensor([[1, 1, 1]])):
        first, second, third = logits[:3].tolist()
        assert first == pytest.approx(third, abs=0.05)
        # in training the second has .9 + .1 * 30/140 and the first .1 * 100/140, priors included; the network has not
        trained = np.log((0.9 + 0.1 * 30 / 140) / (0.1 * 100 / 140))
        assert second - first == pytest.approx(trained - np.log(30 / 100), abs=0.05)


def test_a_class_without_training_images_has_finite_priors_and_weights() -> None:
    labels = {head.name: np.zeros(5, np.int64) for head in HEADS}
    for consonant in ("classes", "parts"):
        config = LossConfig(logit_adjustment=1.0, class_balance=0.999)
        loss = ThreeHeadLoss(config, consonant, labels, CPU)(make_logits(), LABELS)
        assert math.isfinite(loss.item())


def test_the_gradient_of_focal_loss_is_finite_where_the_network_is_certain() -> None:
    logits = {head.name: torch.zeros(1, head.num_classes) for head in HEADS}
    for scores in logits.values():
        scores[0, 0] = 50.0  # its probability is 1 in float32
        scores.requires_grad_()
    make_loss(focal_gamma=0.5)(logits, torch.zeros(1, 3, dtype=torch.int64)).backward()
    assert all(scores.grad is not None and scores.grad.isfinite().all() for scores in logits.values())


@pytest.mark.parametrize(("smoothing", "strength"), [(0.0, 0.0), (0.2, 0.7)])
def test_parts_are_smoothed_and_adjusted_by_the_frequency_of_each_part(smoothing: float, strength: float) -> None:
    """The class's part table is written out here: a part's share is that of the training images that show it."""
    logits = make_logits()
    z = logits["consonant_diacritic"][:, [1, 2, 4, 5]].double()
    shows = np.array([[0, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1, 1]]).T
    shares = shows[TRAINING["consonant_diacritic"]].mean(axis=0)
    prior = strength * torch.from_numpy(np.log(shares / (1 - shares)))
    targets = torch.from_numpy(shows)[LABELS[:, 2]].double() * (1 - smoothing) + smoothing * prior.sigmoid()
    expected = functional.binary_cross_entropy((z + prior).sigmoid(), targets, reduction="none").sum(dim=1).mean()
    loss = make_loss("parts", label_smoothing=smoothing, logit_adjustment=strength, head_weights=(0.0, 0.0, 1.0))
    assert loss(logits, LABELS).item() == pytest.approx(expected.item(), rel=1e-4)


def test_everything_at_once_is_what_it_is_one_after_the_other() -> None:
    """Adjusted, smoothed, focal, balanced; then weighed by head; then both labels; then the hardest: in float64."""
    settings: Any = {"label_smoothing": 0.1, "logit_adjustment": 0.5, "class_balance": 0.9, "focal_gamma": 1.5}
    partners = LABELS.flip(0)
    total = torch.zeros(NUM_IMAGES, dtype=torch.float64)
    for column, (head, weight) in enumerate(zip(HEADS, (0.5, 0.25, 0.25), strict=True)):
        counts = np.bincount(TRAINING[head.name])
        weights = 0.1 / (1 - 0.9**counts)
        weights *= counts.sum() / (weights * counts).sum()
        priors = 0.5 * torch.from_numpy(np.log(counts / counts.sum()))
        logs = (make_logits()[head.name].double() + priors).log_softmax(1)
        for share, labels in ((0.7, LABELS[:, column]), (0.3, partners[:, column])):
            right = logs[range(NUM_IMAGES), labels]
            smooth = -0.9 * right - 0.1 * logs @ torch.from_numpy(counts**0.5 / (counts**0.5).sum())
            total += share * weight * torch.from_numpy(weights)[labels] * (1 - right.exp()) ** 1.5 * smooth
    loss = make_loss(**settings, hard_share=0.5)(make_logits(), LABELS, partners, 0.7)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(total.sort().values[-3:].mean().item(), rel=1e-4)


def test_the_grapheme_head_is_added_by_its_weight() -> None:
    logits = make_logits(graphemes=True)
    extra = functional.cross_entropy(logits["grapheme"], LABELS[:, 3])
    loss = make_loss(graphemes="linear", grapheme_weight=0.5)(logits, LABELS)
    torch.testing.assert_close(loss, make_loss()(make_logits(), LABELS) + 0.5 * extra)


def test_arcface_turns_the_right_class_away_by_the_margin() -> None:
    logits = make_logits(graphemes=True)
    cosines = logits["grapheme"].double()
    angles = torch.arccos(cosines)
    rows = torch.arange(NUM_IMAGES)
    angles[rows, LABELS[:, 3]] += 0.3
    assert (angles < math.pi).all()
    extra = functional.cross_entropy(ARCFACE_SCALE * torch.cos(angles), LABELS[:, 3])
    logits["grapheme"] = (ARCFACE_SCALE * cosines).float()
    loss = make_loss(graphemes="arcface", arcface_margin=0.3)(logits, LABELS)
    assert loss.item() == pytest.approx((make_loss()(make_logits(), LABELS) + extra).item(), rel=1e-4)


def test_arcface_goes_on_falling_where_the_angle_would_pass_a_half_turn_and_its_slope_stays_finite() -> None:
    angles = torch.linspace(0, math.pi, 501, dtype=torch.float64)
    logits = (ARCFACE_SCALE * torch.cos(angles)).float()[:, None].repeat(1, 2).requires_grad_()
    moved = add_margin(logits, torch.zeros(501, dtype=torch.int64), 0.3)
    beyond = torch.cos(angles) - 0.3 * math.sin(0.3)
    expected = ARCFACE_SCALE * torch.where(angles + 0.3 < math.pi, torch.cos(angles + 0.3), beyond)
    torch.testing.assert_close(moved[:, 0].double(), expected, atol=0.02, rtol=0)  # 0.001 radians: cosines end before 1
    assert (moved[1:, 0] < moved[:-1, 0]).all()
    assert torch.equal(moved[:, 1], logits[:, 1])
    moved.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
