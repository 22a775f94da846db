"""ClassificationHead: pooling, a last layer and all between, from the backbone's features to one head's logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from okkhor.config import ARCFACE_SCALE
from okkhor.schema import CONSONANT_PARTS, HEADS, MARGINALS

GEM_EXPONENT = 3.0  # the start, as in Radenovic et al. 2018
GEM_FLOOR = 1e-6  # smallest activation: the generalised mean needs positive numbers


class ConsonantPartsLinear(nn.Linear):
    """Logits of the seven consonant diacritics from one logit for each of four written parts: (B, C) -> (B, 7).

    A class's logit is the sum over the parts it is written with. Softmax over the classes then equals the product of
    sigmoid(z) for each part that is there and 1 - sigmoid(z) for each other one, normalised over the seven existing
    combinations. So a rare class learns from frequent ones: class 6 (ya-phala and ra-phala) from 4 and 5.
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
    """ARCFACE_SCALE times the cosine between the features and each class: (B, C) -> (B, num_classes) float32.

    In training the loss adds a margin to the right class's angle. ArcFace, Deng et al. 2019, arXiv:1801.07698.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        # float32: learnt cosines are near 1, where neighbouring bfloat16 numbers are 5 degrees apart
        with torch.autocast(features.device.type, enabled=False):
            directions = functional.normalize(self.weight.float(), dim=1)
            return ARCFACE_SCALE * functional.linear(functional.normalize(features.float(), dim=1), directions)


class ClassificationHead(nn.Module):
    """Pooling, dropout, a last layer.

    Features -> logits (B, num_classes). pooling: a name in POOLINGS, for maps (B, num_features, H, W); None for
    features that are pooled already, (B, num_features).
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        pooling: str | None,
        dropout: float,
        last_layer: type[nn.Linear] = nn.Linear,
    ) -> None:
        super().__init__()
        self.pooling = nn.Identity() if pooling is None else POOLINGS[pooling]()
        self.dropout = nn.Dropout(dropout)
        self.linear = last_layer(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(self.pooling(features)))
        return logits


def check_graphemes(graphemes: Tensor) -> None:
    """Assert that these are label triples: (G, 3) int64 in the order of HEADS, each label in its head's range."""
    found = graphemes.dtype, *graphemes.shape[1:]
    assert found == (torch.int64, len(HEADS)), f"expected (G, {len(HEADS)}) int64: {graphemes.shape} {graphemes.dtype}"
    num_classes = torch.tensor([head.num_classes for head in HEADS])
    assert ((graphemes >= 0) & (graphemes < num_classes)).all(), "label triples out of range"


def marginalise(probabilities: Tensor, graphemes: Tensor) -> dict[str, Tensor]:
    """Sum grapheme probabilities (B, G) to class probabilities (B, num_classes) for each head.

    Each grapheme has one class of each head, so the sums of a head add up to 1. A class of no grapheme gets 0.
    (The competition's second place used the mean over a class's graphemes, which favours classes with few:
    scoring/decoding.py.)

    graphemes: (G, 3) int64, label triples in the order of HEADS.
    """
    marginals = {}
    for column, head in enumerate(HEADS):
        zeros = probabilities.new_zeros(probabilities.shape[0], head.num_classes)  # torch.export takes len() for fixed
        marginals[head.name] = zeros.index_add(1, graphemes[:, column], probabilities)
    return marginals


def log_marginals(logits: Tensor, graphemes: Tensor) -> dict[str, Tensor]:
    """Turn grapheme logits (B, G) into each head's log-probabilities (B, num_classes) float32, named as in MARGINALS.

    Softmax turns them into the marginals again. graphemes: (G, 3) int64, label triples in the order of HEADS.
    """
    marginals = marginalise(logits.float().softmax(dim=1), graphemes)
    smallest = torch.finfo(torch.float32).tiny  # the log of 0 would be -inf
    return {MARGINALS[name]: values.clamp(min=smallest).log() for name, values in marginals.items()}


class AveragePooling(nn.Module):
    """The mean of each channel: (B, C, H, W) -> (B, C)."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class AverageMaxPooling(nn.Module):
    """(mean + maximum) / 2 of each channel, timm's `avgmax`: (B, C, H, W) -> (B, C)."""

    def forward(self, features: Tensor) -> Tensor:
        return (features.mean(dim=(2, 3)) + features.amax(dim=(2, 3))) / 2


class GeneralisedMeanPooling(nn.Module):
    """mean(x^p)^(1/p) of each channel, with a learnt p >= 1: (B, C, H, W) -> (B, C) float32.

    p = 1 is the mean, a large p nearly the maximum. GeM, Radenovic et al. 2018, arXiv:1711.02512.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.full((1,), GEM_EXPONENT))

    def forward(self, features: Tensor) -> Tensor:
        # float32: bfloat16 has 3 digits, and float16 ends at 65,504 = 40^3. x^3 leaves float32 for x > 7e12, so divide
        # by the maximum and multiply by it again. The maximum cancels out: it needs no gradient.
        with torch.autocast(features.device.type, enabled=False):
            positive = features.float().clamp(min=GEM_FLOOR)
            largest = positive.detach().amax(dim=(2, 3), keepdim=True)
            exponent = self.exponent.float().clamp(min=1.0)
            means = (positive / largest).pow(exponent).mean(dim=(2, 3)).pow(1 / exponent)
            return means * largest.flatten(1)


POOLINGS: dict[str, type[nn.Module]] = {
    "average": AveragePooling,
    "average_max": AverageMaxPooling,
    "gem": GeneralisedMeanPooling,
}
"""By the name in model.pooling: (B, C, H, W) -> (B, C)."""
