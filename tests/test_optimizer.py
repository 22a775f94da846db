"""The optimizers and their schedules."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from okkhor.config import OptimizerConfig
from okkhor.training.optimizer import make_optimizer, make_schedule


def tiny_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3)
    )


def rates_of(config: OptimizerConfig, num_steps: int) -> NDArray[np.float64]:
    optimizer = make_optimizer(tiny_network(), config)
    schedule = make_schedule(optimizer, config, num_steps)
    rates = []
    for _ in range(num_steps):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return np.array(rates)


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_norms_and_biases_are_not_decayed_and_every_parameter_is_optimised_once(name: str) -> None:
    network = tiny_network()
    groups = make_optimizer(network, OptimizerConfig(name=name, weight_decay=0.1)).param_groups  # type: ignore[arg-type]
    decayed = [id(p) for group in groups if group["weight_decay"] == 0.1 for p in group["params"]]
    plain = [id(p) for group in groups if group["weight_decay"] == 0.0 for p in group["params"]]
    assert set(decayed) == {id(p) for p in network.parameters() if p.ndim > 1}
    assert set(plain) == {id(p) for p in network.parameters() if p.ndim <= 1}
    assert len(decayed) + len(plain) == len(list(network.parameters()))


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_each_optimizer_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    network = tiny_network()
    config = OptimizerConfig(name=name, learning_rate=1e-2)  # type: ignore[arg-type]
    optimizer = make_optimizer(network, config)
    images, labels = torch.randn(12, 1, 6, 6), torch.arange(12) % 3
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(images), labels)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.8 * losses[0]


def test_sgd_is_nesterovs() -> None:
    optimizer = make_optimizer(tiny_network(), OptimizerConfig(name="sgd", momentum=0.9))
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_muon_makes_the_step_of_a_kernel_orthogonal_and_leaves_the_linear_layer_to_adam() -> None:
    torch.manual_seed(0)
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


@pytest.mark.parametrize("num_steps", [1, 2, 5, 10])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "restarts"])
def test_a_schedule_of_a_few_steps_is_fine(num_steps: int, schedule: str) -> None:
    config = OptimizerConfig(schedule=schedule, warmup=0.2)  # type: ignore[arg-type]
    assert all(0 < rate <= config.learning_rate * (1 + 1e-9) for rate in rates_of(config, num_steps))


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_learning_rate_rises_to_its_top_and_falls_to_nearly_zero(schedule: str) -> None:
    rates = rates_of(OptimizerConfig(learning_rate=1.0, warmup=0.25, schedule=schedule), 101)  # type: ignore[arg-type]
    assert np.argmax(rates) == pytest.approx(25, abs=1)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 1e-2


def test_without_warmup_the_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=1e-4)
    expected = []
    for _ in range(40):
        expected.append(float(reference.get_last_lr()[0]))
        optimizer.step()
        reference.step()
    rates = rates_of(OptimizerConfig(learning_rate=1.0, warmup=0, schedule="cosine"), 40)
    np.testing.assert_allclose(rates, expected, atol=1e-6)


def test_warm_restarts_are_torchs_and_rise_in_the_first_cycle_alone() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=20, eta_min=1e-4)
    expected = []
    for _ in range(60):
        expected.append(float(reference.get_last_lr()[0]))
        optimizer.step()
        reference.step()
    plain = OptimizerConfig(learning_rate=1.0, warmup=0, schedule="restarts", cycles=3)
    np.testing.assert_allclose(rates_of(plain, 60), expected, atol=1e-6)
    warm = OptimizerConfig(learning_rate=1.0, warmup=0.25, schedule="restarts", cycles=3)
    np.testing.assert_allclose(rates_of(warm, 60)[20:], expected[20:], atol=1e-6)
    assert rates_of(warm, 60)[0] < 0.2
