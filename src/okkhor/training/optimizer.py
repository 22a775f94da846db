"""make_optimizer and make_schedule: how the weights move, by name."""

import math
from typing import Any

import torch
from timm.optim import Muon
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from okkhor.config import OptimizerConfig

LAST_RATE = 1e-4  # the lowest rate of a cycle, as a share of the highest


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), SGD with Nesterov momentum, or Muon (Jordan et al. 2024).

    Weight decay leaves out norms and biases, the parameters with one dimension. Muon (timm's) makes each kernel's step
    an orthogonal matrix, scaled for AdamW's learning rates; NAdamW moves linear layers, norms and biases.
    """
    parameters = list(network.parameters())
    matrices, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    if config.name == "muon":
        groups: list[dict[str, Any]] = [
            {"params": [p for p in matrices if p.ndim == 4]},
            {"params": [p for p in matrices if p.ndim != 4], "use_fallback": True},
            {"params": vectors, "use_fallback": True, "weight_decay": 0.0},
        ]
        return Muon(groups, lr=config.learning_rate, weight_decay=config.weight_decay, nesterov=True)
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.name == "sgd":
        # not fused: torch's kernel fails when weights thaw after others have a momentum (freeze_epochs)
        return SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    # one fused kernel: on two cores a step on 32 x 32 images takes 0.16 s, half of it in the plain AdamW
    return AdamW(groups, lr=config.learning_rate, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, config: OptimizerConfig, num_steps: int) -> LRScheduler:
    """Create the learning-rate schedule over num_steps steps.

    one_cycle: rise along a cosine for `warmup` of the steps, fall along one. Smith and Topin 2018, arXiv:1708.07120.
    cosine: rise in a line, fall along a cosine. restarts: the same in each of the cycles, but only the first one rises:
    SGDR, Loshchilov and Hutter 2017, arXiv:1608.03983.
    """
    if config.schedule != "one_cycle":
        cycle = num_steps // config.cycles
        rise = round(config.warmup * cycle)
        return LambdaLR(optimizer, lambda step: cosine_factor(step, cycle, config.cycles, rise))
    total = max(num_steps, 2)
    return OneCycleLR(
        optimizer,
        max_lr=config.learning_rate,
        total_steps=total,
        pct_start=max(config.warmup, 1.5 / total),  # torch divides by the steps of the rise, less one
        div_factor=25,  # the first rate is 1/25 of the highest
        final_div_factor=1e3,  # the last is 1/1000 of the first
        cycle_momentum=False,
    )


def cosine_factor(step: int, cycle: int, num_cycles: int, rise: int) -> float:
    """Return a step's rate as a share of the highest. cycle, rise: lengths in steps."""
    number = min(step // cycle, num_cycles - 1)
    position, start = step - number * cycle, rise if number == 0 else 0
    if position < start:
        return (position + 1) / (start + 1)
    share = min((position - start) / max(cycle - start, 1), 1.0)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2
