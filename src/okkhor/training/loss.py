"""The loss of three heads."""

from collections.abc import Mapping

import torch
from torch.nn import functional

from okkhor.schema import HEADS


def three_head_loss(
    logits: Mapping[str, torch.Tensor], labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """The mean cross-entropy of the heads, weighted as the competition's score weights them (2:1:1).

    logits: for each head, (B, num_classes). labels: (B, 3) int64, in the order of HEADS. Returns a float32 scalar.
    """
    losses = [
        head.score_weight
        * functional.cross_entropy(logits[head.name].float(), labels[:, column], label_smoothing=label_smoothing)
        for column, head in enumerate(HEADS)
    ]
    return torch.stack(losses).sum() / sum(head.score_weight for head in HEADS)
