"""The optimizers, chosen by name."""

from typing import Any

import torch
from timm.optim import Muon
from torch import nn
from torch.optim import SGD, AdamW

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
