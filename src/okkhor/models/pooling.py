"""From a feature map to one number for each channel."""

import torch
from torch import Tensor, nn

GEM_EXPONENT = 3.0  # to start from, as in Radenovic et al. 2018
GEM_FLOOR = 1e-6  # smallest activation: the generalised mean is defined for positive numbers only


class AveragePooling(nn.Module):
    """The mean of each channel: (B, C, H, W) -> (B, C)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class AverageMaxPooling(nn.Module):
    """Half the sum of each channel's mean and maximum: (B, C, H, W) -> (B, C). timm's `avgmax`."""

    def forward(self, features: Tensor) -> Tensor:
        return (features.mean(dim=(2, 3)) + features.amax(dim=(2, 3))) / 2


class GeneralisedMeanPooling(nn.Module):
    """mean(x^p)^(1/p) of each channel, with a learnt p >= 1: (B, C, H, W) -> (B, C) float32.

    p = 1 is the mean, a large p nearly the maximum: the head learns how local its evidence is.
    GeM, Radenovic et al. 2018, arXiv:1711.02512.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.full((1,), GEM_EXPONENT))

    def forward(self, features: Tensor) -> Tensor:
        # In float32: bfloat16 has 3 digits, and float16 ends at 65,504, which is 40^3. The maximum is divided out and
        # multiplied back, or x^3 would leave float32 for x > 7e12. What it cancels out of needs no gradient through it.
        with torch.autocast(features.device.type, enabled=False):
            positive = features.float().clamp(min=GEM_FLOOR)
            largest = positive.detach().amax(dim=(2, 3), keepdim=True)
            exponent = self.exponent.float().clamp(min=1.0)
            means = (positive / largest).pow(exponent).mean(dim=(2, 3)).pow(1 / exponent)
            return means * largest.flatten(1)


class ExcitedAveragePooling(nn.Module):
    """The mean of each channel, every place multiplied by a learnt share of it: (B, C, H, W) -> (B, C).

    The share, 0 to 1, is a sigmoid of all channels at the place: the head learns where to look.
    Spatial squeeze and excitation (sSE), Roy et al. 2018, arXiv:1803.02579.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(num_channels, 1, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        excited: Tensor = features * self.squeeze(features).sigmoid()
        return excited.mean(dim=(2, 3))


POOLINGS: dict[str, type[nn.Module]] = {
    "average": AveragePooling,
    "average_max": AverageMaxPooling,
    "gem": GeneralisedMeanPooling,
}


def create_pooling(name: str, num_channels: int) -> nn.Module:
    """Feature maps (B, num_channels, H, W) -> (B, num_channels)."""
    return ExcitedAveragePooling(num_channels) if name == "sse" else POOLINGS[name]()
