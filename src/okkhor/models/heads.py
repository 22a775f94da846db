"""From the backbone's features to the logits of one head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from okkhor.config import ARCFACE_SCALE
from okkhor.schema import CONSONANT_PARTS, HEADS, MARGINALS


class ConsonantPartsLinear(nn.Linear):
    """Features (B, num_features) -> logits of the seven consonant diacritics (B, 7), each the sum of its parts'.

    A linear layer gives a logit z for each of four parts; a class scores the sum of z over the parts it is written
    with. Softmax over the seven is then the product of the four sigmoids, sigmoid(z) for a part that is there and
    1 - sigmoid(z) for one that is not, normalised over the combinations that exist. What a rare class is made of is
    so learnt from the frequent classes too: class 6 (ya-phala and ra-phala) from 4 and 5.
    """

    parts: Tensor

    def __init__(self, num_features: int, num_classes: int) -> None:
        parts = torch.tensor(CONSONANT_PARTS, dtype=torch.float32)  # (7, 4) of 0 and 1
        assert len(parts) == num_classes, f"{num_classes} classes: only the seven consonant diacritics have parts"
        super().__init__(num_features, parts.shape[1])
        self.register_buffer("parts", parts, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(super().forward(features), self.parts)


class CosineLinear(nn.Linear):
    """ARCFACE_SCALE times the cosine of the angle between features and each class: (B, C) -> (B, num_classes) float32.

    The loss makes the angle of the right class larger by a margin in training. ArcFace, Deng et al. 2019,
    arXiv:1801.07698.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        # In float32: near 1, where a learnt class is, the next bfloat16 cosine is 5 degrees away.
        with torch.autocast(features.device.type, enabled=False):
            directions = functional.normalize(self.weight.float(), dim=1)
            return ARCFACE_SCALE * functional.linear(functional.normalize(features.float(), dim=1), directions)


class ClassificationHead(nn.Module):
    """Pooling, a hidden layer where asked for, dropout and a last layer: features -> logits (B, num_classes).

    pooling: a name for create_pooling for feature maps (B, C, H, W); None for features that are pooled already, (B, C).
    hidden: features of the hidden layer, which is linear, batch norm and ReLU; 0: none.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        pooling: str | None,
        hidden: int,
        dropout: float,
        last_layer: type[nn.Linear] | type[ConsonantPartsLinear] | type[CosineLinear] = nn.Linear,
    ) -> None:
        super().__init__()
        self.pooling = nn.Identity() if pooling is None else create_pooling(pooling, num_features)
        self.hidden: nn.Module = nn.Identity()
        if hidden:  # no bias: the batch norm subtracts the mean and adds a bias of its own
            layers = nn.Linear(num_features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()
            self.hidden = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.linear = last_layer(hidden or num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(self.hidden(self.pooling(features))))
        return logits


def check_graphemes(graphemes: Tensor) -> None:
    """graphemes: (G, 3) int64, the labels of each grapheme's components, in the order of HEADS."""
    assert graphemes.dtype == torch.int64, f"expected int64 labels: {graphemes.dtype}"
    assert graphemes.ndim == 2, f"expected (G, {len(HEADS)}) labels: {tuple(graphemes.shape)}"
    assert graphemes.shape[1] == len(HEADS), f"expected (G, {len(HEADS)}) labels: {tuple(graphemes.shape)}"
    for column, head in enumerate(HEADS):
        in_range = graphemes[:, column].ge(0) & graphemes[:, column].lt(head.num_classes)
        assert in_range.all(), f"{head.name}: expected labels 0 to {head.num_classes - 1}"


def marginalise(probabilities: Tensor, graphemes: Tensor) -> dict[str, Tensor]:
    """Probabilities of graphemes (B, G) -> for each head, the probabilities of its classes (B, num_classes).

    A component's is the sum over the graphemes that carry it: its marginal probability. Each grapheme carries one class
    of each head, so that the sums add up to 1. A class that no grapheme carries gets 0. (The competition's second place
    scored a component by the mean over its graphemes, which favours the components of few: scoring/decoding.py.)

    graphemes: (G, 3) int64, in the order of HEADS.
    """
    marginals = {}
    for column, head in enumerate(HEADS):
        zeros = probabilities.new_zeros(probabilities.shape[0], head.num_classes)  # torch.export takes len() for fixed
        marginals[head.name] = zeros.index_add(1, graphemes[:, column], probabilities)
    return marginals


def log_marginals(logits: Tensor, graphemes: Tensor) -> dict[str, Tensor]:
    """Logits of graphemes (B, G) -> for each head, under MARGINALS' names, log-probabilities (B, num_classes) float32.

    Log-probabilities are logits: softmax gives the marginals back. graphemes: (G, 3) int64, in the order of HEADS.
    """
    marginals = marginalise(logits.float().softmax(dim=1), graphemes)
    smallest = torch.finfo(torch.float32).tiny  # the log of 0 would be -inf
    return {MARGINALS[name]: values.clamp(min=smallest).log() for name, values in marginals.items()}


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
