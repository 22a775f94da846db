"""Training the heads first, and the backbone's layers from its end onwards as the epochs go by.

Gradual unfreezing, Howard and Ruder 2018, arXiv:1801.06146: fresh heads send gradients that are mostly noise, which
would wear down pretrained layers before the heads have learnt to use them.
"""

from typing import Any

from timm.models import group_parameters
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: nn.Module, epoch: int, freeze_epochs: int) -> None:
    """Let only those parts of network.backbone train whose turn has come; the heads always do.

    In epoch 0 none does; the layer groups thaw evenly, from the last to the first; from epoch `freeze_epochs` on all
    train. A frozen parameter gets no gradient, so that no optimizer moves it; a frozen batch norm uses its running mean
    and variance and leaves them. Call it after each network.train(), which would set the batch norms to training, and
    before the network is wrapped for several processes, which looks once at what trains.
    """
    if not freeze_epochs:
        return
    backbone = network.get_submodule("backbone")
    groups = group_layers(backbone)
    num_thawed = len(groups) if epoch >= freeze_epochs else epoch * len(groups) // freeze_epochs
    for number, names in enumerate(groups):
        trains = number >= len(groups) - num_thawed
        for name in names:
            parameter = backbone.get_parameter(name)
            parameter.requires_grad_(trains)
            if not trains:
                parameter.grad = None  # AdamW would decay the weight even at a gradient of 0
    for module in backbone.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def group_layers(backbone: nn.Module) -> list[list[str]]:
    """The names of the backbone's parameters, each once, in groups from the image to the features.

    The groups are timm's: the stem and then each block, of ResNet-34 each of the 16 pairs of convolutions. The few
    architectures that have none are grouped by their top modules.
    """
    group_matcher: Any = getattr(backbone, "group_matcher", None)
    if group_matcher is not None:
        groups = group_parameters(backbone, group_matcher(coarse=False))
        return [groups[number] for number in sorted(groups)]
    by_module: dict[str, list[str]] = {}
    for name, _ in backbone.named_parameters():
        by_module.setdefault(name.partition(".")[0], []).append(name)
    return list(by_module.values())
