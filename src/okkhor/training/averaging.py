"""Networks whose weights are means: over the steps (EMA), or over the ends of the last epochs (SWA)."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from okkhor.training.precision import Precision


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
