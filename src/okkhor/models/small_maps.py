"""Convolutions over small feature maps as matrix products, which a CPU computes faster.

At 48 x 48 pixels the last stages of ResNet-34 have maps of 3 x 3 and 2 x 2, for which oneDNN's convolutions are not
made: the training step of the network is up to twice as fast with products (EXPERIMENTS.md). Which products depends on
the type: patch_products.py, window_products.py.
"""

import math

import torch
from torch import Tensor, nn

from okkhor.models.patch_products import ProductForWeights
from okkhor.models.window_products import WindowConvolution

FEWEST_CHANNELS = 128  # of the input; with fewer, too little is computed to gain

# of the output: up to so many positions all is products of windows, with so many channels at least ...
LARGEST_WINDOWED_MAP = 16
FEWEST_WINDOWED_CHANNELS = {torch.float32: 256, torch.bfloat16: 512}

# ... and in bfloat16 up to so many the gradient of the weights alone is a product of patches
LARGEST_MAP = 36

Convolution = type[ProductForWeights | WindowConvolution]


class SmallMapConvolution(nn.Conv2d):
    """A 3 x 3 convolution with a padding of 1; same weights, same results, another way to compute small ones."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, out_channels, h, w) float."""
        if torch.compiler.is_exporting():  # to other programs, which know convolutions
            return super().forward(images)
        weight = self.weight
        if torch.is_autocast_enabled(images.device.type):  # it knows torch's own convolution, not these
            dtype = torch.get_autocast_dtype(images.device.type)
            images, weight = images.to(dtype), weight.to(dtype)
        height, width = (-(-side // self.stride[0]) for side in images.shape[2:])
        convolution = choose_convolution(height * width, self.out_channels, images.dtype)
        if convolution is None:
            return super().forward(images)
        output: Tensor = convolution.apply(images, weight, self.stride[0])
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]


def choose_convolution(positions: int, channels: int, dtype: torch.dtype) -> Convolution | None:
    """The fastest way to an output of so many positions and channels; None: torch's own."""
    if positions <= LARGEST_WINDOWED_MAP and channels >= FEWEST_WINDOWED_CHANNELS.get(dtype, math.inf):
        return WindowConvolution
    return ProductForWeights if dtype == torch.bfloat16 and positions <= LARGEST_MAP else None


def multiply_small_maps(network: nn.Module) -> None:
    """Let the network's wide 3 x 3 convolutions be SmallMapConvolutions; weights and their names stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module) and module.in_channels >= FEWEST_CHANNELS:
            module.__class__ = SmallMapConvolution


def _is_plain(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (3, 3)
        and convolution.padding == (1, 1)
        and convolution.dilation == (1, 1)
        and convolution.stride[0] == convolution.stride[1]
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
    )
