"""From the backbone's features to the logits of one head."""

import torch
from torch import Tensor, nn

GEM_EXPONENT = 3.0  # to start from, as in Radenovic et al. 2018
GEM_FLOOR = 1e-6  # smallest activation: the generalised mean is defined for positive numbers only


class AveragePooling(nn.Module):
    """The mean of each channel: (B, C, H, W) -> (B, C)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


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


POOLINGS: dict[str, type[nn.Module]] = {"average": AveragePooling, "gem": GeneralisedMeanPooling}


class ClassificationHead(nn.Module):
    """Pooling, dropout and a linear layer: features -> logits (B, num_classes).

    pooling: a name in POOLINGS for feature maps (B, C, H, W); None for features that are pooled already, (B, C).
    """

    def __init__(self, num_features: int, num_classes: int, pooling: str | None, dropout: float) -> None:
        super().__init__()
        self.pooling = nn.Identity() if pooling is None else POOLINGS[pooling]()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(self.pooling(features)))
        return logits
