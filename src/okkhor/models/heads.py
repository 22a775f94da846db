"""From the backbone's features to the logits of one head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from okkhor.config import ARCFACE_SCALE
from okkhor.models.pooling import create_pooling
from okkhor.schema import CONSONANT_PARTS


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
