"""Networks whose weights are means: over the steps (EMA), or over the ends of the last epochs (SWA)."""

from collections.abc import Iterable

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel

from okkhor.training.device import Precision

FIRST_STEPS = 8  # after each of which the mean is brought up to date: a run may end with them
STRIDE = 4  # steps, later on: the mean is one over hundreds, and reading all weights takes 4 % of a fast step


class StepAverage(ModelEmaV3):
    """timm's exponential moving average of the weights, brought up to date after each STRIDE-th step, as if after each.

    torchvision's reference training does likewise (--model-ema-steps, 32).
    """

    def get_decay(self, step: int | None = None) -> float:
        decay = super().get_decay(step)
        return decay if step is None or step <= FIRST_STEPS else decay**STRIDE

    def update(self, model: nn.Module, step: int | None = None) -> None:
        """step: how many there were, this one included; None: none is left out."""
        if step is None or step <= FIRST_STEPS or step % STRIDE == 0:
            super().update(model, step)


def make_epoch_average(network: nn.Module) -> AveragedModel:
    """Stochastic weight averaging: Izmailov et al. 2018, arXiv:1803.05407. update_parameters adds the next."""
    return AveragedModel(network)


@torch.no_grad()
def measure_batch_norm(network: nn.Module, batches: Iterable[torch.Tensor], precision: Precision) -> None:
    """Set the running mean and variance of each batch norm to those over the batches.

    Averaged weights have activations that no batch norm has seen. batches: images (B, 1, H, W) uint8, on any device.
    torch.optim.swa_utils.update_bn does this without mixed precision.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for images in batches:
        with precision.autocast():
            network(images.to(precision.device, non_blocking=True))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
