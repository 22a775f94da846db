"""The optimizers and their schedules."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LRScheduler

from okkhor.config import OptimizerConfig
from okkhor.training.optimizer import make_optimizer, make_schedule

NAMES: tuple[Any, ...] = ("adamw", "sgd", "muon")


def tiny_network() -> nn.Sequential:
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3)
    return nn.Sequential(*layers)


def rates_of(schedule: LRScheduler, num_steps: int) -> NDArray[np.float64]:
    rates = []
    for _ in range(num_steps):
        rates.append(float(schedule.get_last_lr()[0]))
        schedule.optimizer.step()
        schedule.step()
    return np.array(rates)


def our_rates(num_steps: int, **settings: Any) -> NDArray[np.float64]:
    config = OptimizerConfig(learning_rate=1.0, **settings)
    return rates_of(make_schedule(make_optimizer(tiny_network(), config), config, num_steps), num_steps)


def any_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=1.0)


@pytest.mark.parametrize("name", NAMES)
def test_norms_and_biases_are_not_decayed_and_every_parameter_is_optimised_once(name: Any) -> None:
    network = tiny_network()
    groups = make_optimizer(network, OptimizerConfig(name=name, weight_decay=0.1)).param_groups
    decayed = [id(p) for group in groups if group["weight_decay"] == 0.1 for p in group["params"]]
    plain = [id(p) for group in groups if group["weight_decay"] == 0.0 for p in group["params"]]
    assert set(decayed) == {id(p) for p in network.parameters() if p.ndim > 1}
    assert set(plain) == {id(p) for p in network.parameters() if p.ndim <= 1}
    assert len(decayed) + len(plain) == len(list(network.parameters()))


def test_muon_makes_the_step_of_a_kernel_orthogonal_and_leaves_the_linear_layer_to_adam() -> None:
    network = tiny_network()
    optimizer = make_optimizer(network, OptimizerConfig(name="muon", learning_rate=1.0, weight_decay=0))
    kernel, linear = dict(network.named_parameters())["3.weight"], dict(network.named_parameters())["5.weight"]
    before, plain = kernel.detach().clone(), linear.detach().clone()
    network(torch.randn(8, 1, 6, 6)).square().sum().backward()
    optimizer.step()
    singular = torch.linalg.svdvals((kernel.detach() - before).flatten(1))
    assert singular.max() / singular.min() < 2  # Newton-Schulz stops at 0.7 to 1.2 of the same length
    step = (linear.detach() - plain).abs()
    torch.testing.assert_close(step, step.mean().expand_as(step), rtol=1e-3, atol=1e-3)  # the first of Adam's is a sign


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "restarts"])
def test_a_schedule_of_a_few_steps_is_fine(schedule: str) -> None:
    assert all(0 < rate <= 1 + 1e-9 for steps in (1, 2, 5, 10) for rate in our_rates(steps, schedule=schedule))


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_learning_rate_rises_to_its_top_and_falls_to_nearly_zero(schedule: str) -> None:
    rates = our_rates(101, warmup=0.25, schedule=schedule)
    assert np.argmax(rates) == pytest.approx(25, abs=1)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 1e-2


def test_without_warmup_cosine_and_restarts_are_torchs_and_warmup_is_of_the_first_cycle_alone() -> None:
    expected = rates_of(CosineAnnealingLR(any_optimizer(), T_max=40, eta_min=1e-4), 40)
    np.testing.assert_allclose(our_rates(40, warmup=0, schedule="cosine"), expected, atol=1e-6)
    expected = rates_of(CosineAnnealingWarmRestarts(any_optimizer(), T_0=20, eta_min=1e-4), 60)
    np.testing.assert_allclose(our_rates(60, warmup=0, schedule="restarts", cycles=3), expected, atol=1e-6)
    warm = our_rates(60, warmup=0.25, schedule="restarts", cycles=3)
    np.testing.assert_allclose(warm[20:], expected[20:], atol=1e-6)
    assert warm[0] < 0.2
