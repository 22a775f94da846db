"""Where a network looks: which places of an image speak for the class that a head decides for.

LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943) is Grad-CAM with a gradient of its own for each place, so
that it may read an earlier, finer feature map than the last one, which has four places for an image of 48 pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES

MIN_PLACES = 6  # rows and columns of the map that is read; finer ones show the strides (EXPERIMENTS.md)


def map_attention(network: nn.Module, images: Tensor, labels: Labels) -> dict[str, NDArray[np.float32]] | None:
    """For each head, (B, H, W) float32, 0 to 1: how much each place speaks for the class that labels (B,) name.

    images: (B, 1, H, W) uint8, on the network's device. None where the network has no feature map of MIN_PLACES rows
    and columns, as a vision transformer, which has tokens.
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
    """The name of the last module of the backbone with a feature map of MIN_PLACES rows and columns at least."""
    shapes: dict[str, torch.Size] = {}  # in the order in which the modules end

    def note(name: str) -> None:
        def hook(_module: nn.Module, _given: object, output: object) -> None:
            if isinstance(output, Tensor):
                shapes[name] = output.shape

        handles.append(network.get_submodule(name).register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, _ in network.get_submodule("backbone").named_modules(prefix="backbone"):
        note(name)
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    if len(shapes["backbone"]) != 4:
        return None
    fine = [name for name, shape in shapes.items() if len(shape) == 4 and min(shape[2:]) >= MIN_PLACES]
    return fine[-1] if fine else None
