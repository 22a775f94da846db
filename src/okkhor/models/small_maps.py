"""Convolutions over tiny feature maps as one matrix product, which a CPU computes faster.

At 48 x 48 pixels the last stage of ResNet-34 has maps of 2 x 2. The gradient of its 3 x 3 x 512 x 512 weights then
takes 66 ms in oneDNN (AVX2, two cores, a batch of 64), where its products need 6; as one matrix product the whole
training step is 1.3 times as fast, at 32 x 32 pixels 1.6 times (EXPERIMENTS.md).
"""

import torch
from torch import nn
from torch.nn import functional

LARGEST_MAP = 4  # output positions; from 3 x 3 on oneDNN is as fast
FEWEST_CHANNELS = 128  # with fewer, too little is computed to gain


class SmallMapConvolution(nn.Conv2d):
    """A 3 x 3 convolution with a padding of 1; same weights, same results, another way to compute small ones."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) float -> (B, out_channels, h, w) float."""
        step = self.stride[0]
        height, width = (-(-side // step) for side in images.shape[2:])
        if height * width > LARGEST_MAP:
            return super().forward(images)
        padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # channels last: rows copy as they lie
        rows = [slice(i, i + step * height, step) for i in range(3)]
        places = [slice(j, j + step * width, step) for j in range(3)]
        patches = torch.cat([padded[:, row, place] for row in rows for place in places], dim=3)
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)
        output = functional.linear(patches, weight, self.bias)  # over the last axis: 9 * C -> out_channels
        return output.permute(0, 3, 1, 2)


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
