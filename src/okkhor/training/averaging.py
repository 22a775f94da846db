"""StepAverage: the mean of the weights over the steps (EMA). measure_batch_norm: for the mean over epochs (SWA)."""

from collections.abc import Iterable

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from okkhor.training.device import Precision

FIRST_STEPS = 8  # with an update after each: a run may be that short
STRIDE = 4  # later, steps between two updates: reading all weights takes 4 % of a fast step


class StepAverage(ModelEmaV3):
    """timm's exponential moving average (EMA), updated every STRIDE steps with a decay for that many steps.

    torchvision's reference training does the same (--model-ema-steps, 32).
    """

    def get_decay(self, step: int | None = None) -> float:
        decay = super().get_decay(step)
        return decay if step is None or step <= FIRST_STEPS else decay**STRIDE

    def update(self, model: nn.Module, step: int | None = None) -> None:
        """Update after step number `step`, which counts from 1; None always updates."""
        if step is None or step <= FIRST_STEPS or step % STRIDE == 0:
            super().update(model, step)


@torch.no_grad()
def measure_batch_norm(network: nn.Module, batches: Iterable[torch.Tensor], precision: Precision) -> None:
    """Set each batch norm's mean and variance to those over the batches: averaged weights give new activations.

    batches: images (B, 1, H, W) uint8, on any device. It is torch's update_bn, whose norms read their counter from the
    GPU to find the weight of a batch: 36 waits a batch for ResNet-34.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    was_training = network.training
    network.train()
    for number, images in enumerate(batches if norms else (), 1):
        for norm in norms:
            norm.momentum = 1 / number  # the mean over all batches so far
        with precision.autocast():
            network(images.to(precision.device, non_blocking=True))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    network.train(was_training)
