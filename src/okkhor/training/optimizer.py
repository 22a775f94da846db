"""The optimizers, chosen by name."""

import math
from typing import Any

import torch
from timm.optim import Muon
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from okkhor.config import OptimizerConfig


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), SGD with Nesterov momentum, or Muon.

    Norms and biases, the parameters of one dimension, are not decayed. Muon (Jordan et al. 2024; timm's) makes the step
    of each convolution's kernel an orthogonal matrix, at a length that AdamW's learning rates fit; the linear layers,
    norms and biases are stepped by NAdamW.
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
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        # not fused: torch's kernel fails where some weights thaw after others have a momentum (freeze_epochs)
        return SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)
    # one fused kernel a step: of 0.16 s that a step on 32 x 32 images takes on two cores, the plain one takes half
    return AdamW(groups, lr=config.learning_rate, fused=True)


LAST_RATE = 1e-4  # of a cycle, as a share of its highest


def make_schedule(optimizer: torch.optim.Optimizer, config: OptimizerConfig, num_steps: int) -> LRScheduler:
    """Moved on after each step, num_steps times.

    one_cycle: rise along a cosine for `warmup` of the steps, fall along one. Smith and Topin 2018, arXiv:1708.07120.
    cosine, restarts: rise in a line, fall along a cosine; as often as there are cycles, the rise in the first alone.
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
    """The rate of a step as a share of the highest. cycle, rise: steps; rise: in the first cycle alone."""
    number = min(step // cycle, num_cycles - 1)
    position, start = step - number * cycle, rise if number == 0 else 0
    if position < start:
        return (position + 1) / (start + 1)
    share = min((position - start) / max(cycle - start, 1), 1.0)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2
