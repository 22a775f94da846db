"""The loss of three heads."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from okkhor.schema import HEADS


def three_head_loss(
    logits: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
    label_smoothing: float = 0.0,
    log_priors: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """The mean cross-entropy of the heads, weighted as the competition's score weights them (2:1:1).

    logits: for each head, (B, num_classes). labels: (B, 3) int64, in the order of HEADS.
    log_priors: for each head, (num_classes,) float32, added to the logits: see make_log_priors.
    Returns a float32 scalar.
    """
    losses = []
    for column, head in enumerate(HEADS):
        scores = logits[head.name].float()
        if log_priors is not None:
            scores = scores + log_priors[head.name]
        loss = functional.cross_entropy(scores, labels[:, column], label_smoothing=label_smoothing)
        losses.append(head.score_weight * loss)
    return torch.stack(losses).sum() / sum(head.score_weight for head in HEADS)


def make_log_priors(
    labels: Mapping[str, NDArray[np.int64]], strength: float, device: torch.device
) -> dict[str, torch.Tensor]:
    """For each head, strength * log(share of each class), (num_classes,) float32.

    Added to the logits in training, they take over what is known of the classes' frequencies; the network's own logits,
    used alone afterwards, treat all classes alike, which is what macro recall asks for (at strength 1). Logit
    adjustment, Menon et al. 2021, arXiv:2007.07314. A class without images gets 0: it is learnt to be improbable.
    """
    log_priors = {}
    for head in HEADS:
        counts = torch.from_numpy(np.bincount(labels[head.name], minlength=head.num_classes)).float()
        shares = torch.where(counts > 0, counts / counts.sum(), 1.0)
        log_priors[head.name] = (strength * shares.log()).to(device)
    return log_priors
