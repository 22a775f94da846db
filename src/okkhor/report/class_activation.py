"""`map_activation`: which places of an image speak for the class that a head decides for.

LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943) is Grad-CAM with a gradient for each place. So it may read
an earlier, finer feature map than the last one, which has four places for an image of 48 pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES

MIN_PLACES = 6  # rows and columns of the feature map; finer ones show the strides (EXPERIMENTS.md)


def map_activation(network: nn.Module, images: Tensor, labels: Labels) -> dict[str, NDArray[np.float32]] | None:
    """For each head, (B, H, W) float32, 0 to 1: how much each place speaks for the class in labels (B,).

    images: (B, 1, H, W) uint8, on the network's device. None for a network without a feature map of MIN_PLACES rows
    and columns, such as a vision transformer, which has tokens.
    """
    from torchcam.methods import LayerCAM  # an extra, and slow to import

    network.eval()
    layer = find_layer(network, images[:1])
    if layer is None:
        return None
    maps = {}
    for name in HEAD_NAMES:
        with LayerCAM(network, layer) as extractor:
            (found,) = extractor(labels[name].tolist(), network(images)[name])
        smooth = functional.interpolate(found[:, None].float(), images.shape[2:], mode="bilinear", align_corners=False)
        maps[name] = smooth[:, 0].cpu().numpy()
    network.zero_grad(set_to_none=True)
    return maps


@torch.no_grad()
def find_layer(network: nn.Module, image: Tensor) -> str | None:
    """The name of the backbone's last module whose feature map has at least MIN_PLACES rows and columns."""
    shapes: dict[str, torch.Size] = {}  # in the order in which the modules end
    names = {module: name for name, module in network.get_submodule("backbone").named_modules(prefix="backbone")}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes[names[module]] = output.shape

    handles = [module.register_forward_hook(note) for module in names]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    if len(shapes["backbone"]) != 4:
        return None
    fine = [name for name, shape in shapes.items() if len(shape) == 4 and min(shape[2:]) >= MIN_PLACES]
    return fine[-1] if fine else None
