"""freeze: train the heads first and the backbone's layers later, from the last to the first.

Gradual unfreezing, Howard and Ruder 2018, arXiv:1801.06146: the gradients of new heads are mostly noise, which would
damage pretrained layers.
"""

from typing import Any

from timm.models import group_parameters
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: nn.Module, epoch: int, freeze_epochs: int) -> None:
    """Freeze the layers of network.backbone that don't train yet in this epoch; the heads always train.

    In epoch 0 all layers are frozen. They thaw evenly, the last group first; from epoch `freeze_epochs` on all train. A
    frozen parameter has no gradient, so no optimizer moves it. A frozen batch norm keeps its running statistics.
    Call this after network.train(), which resets the batch norms, and before World.wrap, which reads requires_grad.
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
                parameter.grad = None  # with a gradient of 0, AdamW would still decay the weight
    for module in backbone.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def group_layers(backbone: nn.Module) -> list[list[str]]:
    """Group the names of the backbone's parameters, from the image to the features.

    By timm: the stem, then each block (ResNet-34: 16 pairs of convolutions); else by the top modules.
    """
    group_matcher: Any = getattr(backbone, "group_matcher", None)
    if group_matcher is not None:
        groups = group_parameters(backbone, group_matcher(coarse=False))
        return [groups[number] for number in sorted(groups)]
    by_module: dict[str, list[str]] = {}
    for name, _ in backbone.named_parameters():
        by_module.setdefault(name.partition(".")[0], []).append(name)
    return list(by_module.values())
