"""ThreeHeadLoss: the loss of three heads and, with model.graphemes, of a fourth over whole graphemes."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from okkhor.config import ARCFACE_SCALE, LossConfig
from okkhor.schema import CONSONANT_PARTS, GRAPHEME, HEADS

CONSONANT = "consonant_diacritic"
PART_CLASSES = [1, 2, 4, 5]
"""The consonant classes with one written part, in the order of the parts: their logits are the parts' logits."""


class ThreeHeadLoss:
    """The heads' losses averaged with head_weights, plus grapheme_weight times the grapheme head's loss.

    Parameters
    ----------
    consonant : model.consonant; "parts": that head answers a yes-no question for each written part.
    training_labels : for each head, (N,) int64; logit adjustment and class balance use the frequencies.
    graphemes : model.graphemes; "arcface": the grapheme logits are cosines.
    """

    def __init__(
        self,
        config: LossConfig,
        consonant: str,
        training_labels: Mapping[str, NDArray[np.int64]],
        device: torch.device,
        graphemes: str = "none",
    ) -> None:
        self.config = config
        self.has_parts = consonant == "parts"
        self.margin = config.arcface_margin if graphemes == "arcface" else 0.0
        parts = torch.tensor(CONSONANT_PARTS, dtype=torch.float32)  # (7, 4)
        written = parts[torch.from_numpy(training_labels[CONSONANT])]
        self.parts = parts.to(device)
        self.part_priors = make_part_priors(written, config.logit_adjustment).to(device)
        self.log_priors: dict[str, Tensor] = {}
        self.smooth_shares: dict[str, Tensor] = {}
        self.class_weights: dict[str, Tensor] = {}
        for head in HEADS:
            counts = torch.from_numpy(np.bincount(training_labels[head.name], minlength=head.num_classes)).float()
            self.log_priors[head.name] = make_log_priors(counts, config.logit_adjustment).to(device)
            self.smooth_shares[head.name] = make_smooth_shares(counts, config.logit_adjustment).to(device)
            self.class_weights[head.name] = make_class_weights(counts, config.class_balance).to(device)

    def __call__(
        self,
        logits: Mapping[str, Tensor],
        labels: Tensor,
        partners: Tensor | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """Compute the mean loss of a batch, a float32 scalar.

        logits: for each head, and for GRAPHEME if there is that head, (B, num_classes). labels: (B, K) int64, in the
        order of HEADS, then the grapheme. partners: labels of the mixed-in images. share: of the first images, 0 to 1.
        """
        losses = self.of_each_image(logits, labels)
        if partners is not None and share < 1:
            losses = share * losses + (1 - share) * self.of_each_image(logits, partners)
        if self.config.hard_share < 1:
            # online hard example mining, Shrivastava et al. 2016, arXiv:1604.03540
            losses = losses.topk(max(1, round(self.config.hard_share * len(losses)))).values
        return losses.mean()

    def of_each_image(self, logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return each image's loss, (B,) float32."""
        total = torch.zeros(len(labels), device=labels.device)
        for column, (head, weight) in enumerate(zip(HEADS, self.config.head_weights, strict=True)):
            if head.name == CONSONANT and self.has_parts:
                loss = self.of_parts(logits[head.name].float(), labels[:, column])
            else:
                loss = self.of_classes(logits[head.name].float(), labels[:, column], head.name)
            total = total + weight / sum(self.config.head_weights) * loss
        if GRAPHEME in logits:
            targets, smoothing = labels[:, len(HEADS)], self.config.label_smoothing
            scores = add_margin(logits[GRAPHEME].float(), targets, self.margin)
            loss = functional.cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)
            total = total + self.config.grapheme_weight * loss
        return total

    def of_classes(self, logits: Tensor, labels: Tensor, name: str) -> Tensor:
        """Cross-entropy, adjusted, smoothed, focal and balanced by the settings: (B, C), (B,) -> (B,)."""
        scores = logits + self.log_priors[name]
        smoothing = self.config.label_smoothing
        loss = functional.cross_entropy(scores, labels, reduction="none")
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * scores.log_softmax(dim=1) @ self.smooth_shares[name]
        if self.config.focal_gamma:  # Lin et al. 2017, arXiv:1708.02002
            probability = scores.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
            missing = (1 - probability).clamp(min=1e-6)  # at 0 the slope of a power below 1 is infinite
            loss = missing**self.config.focal_gamma * loss
        return self.class_weights[name][labels] * loss

    def of_parts(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy, adjusted and smoothed, summed over the four written parts: (B, 7), (B,) -> (B,)."""
        scores = logits[:, PART_CLASSES] + self.part_priors
        smoothing = self.config.label_smoothing
        targets = self.parts[labels] * (1 - smoothing) + smoothing * self.part_priors.sigmoid()  # 0.5 if not adjusted
        loss = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(dim=1)
        return self.class_weights[CONSONANT][labels] * loss


def add_margin(logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Add `margin` radians to the right class's angle: scale * cos(angle), (B, G) float32 -> the same.

    ArcFace, Deng et al. 2019, arXiv:1801.07698. Beyond a half turn the cosine would rise; a line continues it there.
    """
    if not margin:
        return logits
    cosines = (logits / ARCFACE_SCALE).gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    sines = (1 - cosines.square()).sqrt()
    moved = cosines * np.cos(margin) - sines * np.sin(margin)
    moved = torch.where(cosines > -np.cos(margin), moved, cosines - margin * np.sin(margin))
    return logits.scatter(1, labels[:, None], ARCFACE_SCALE * moved)


def make_log_priors(counts: Tensor, strength: float) -> Tensor:
    """Compute strength * log(share) of each class from its number of images: (num_classes,) float32.

    Added to the logits in training, the priors learn the frequencies for the network. Its own logits then treat all
    classes alike, as macro recall does (at strength 1). Logit adjustment, Menon et al. 2021, arXiv:2007.07314.
    A class without images gets 0, so the network learns that it is improbable.
    """
    return strength * torch.where(counts > 0, counts / counts.sum(), 1.0).log()


def make_smooth_shares(counts: Tensor, strength: float) -> Tensor:
    """Compute how label smoothing spreads its share over the classes: (num_classes,) float32, with sum 1.

    Evenly without logit adjustment, else by share^strength: the network's own logits then learn an even spread. An even
    target for adjusted logits makes rare classes likely: at smoothing 0.1 consonants' recall fell from .964 to .715.
    """
    weights = torch.where(counts > 0, counts, 0.0) ** strength if strength else torch.ones_like(counts)
    return weights / weights.sum()


def make_part_priors(parts: Tensor, strength: float) -> Tensor:
    """Compute strength * logit(share of images with the part): (N, 4) of 0 and 1 -> (4,); 0 for a share of 0 or 1."""
    shares = parts.mean(dim=0)
    return strength * torch.where((shares > 0) & (shares < 1), shares, 0.5).logit()


def make_class_weights(counts: Tensor, beta: float) -> Tensor:
    """Compute (1 - beta) / (1 - beta^count) of each class, scaled to mean 1 over the images: (num_classes,) float32.

    Class-balanced loss, Cui et al. 2019, arXiv:1901.05555. At beta 0 all weights are 1.
    """
    weights = (1 - beta) / (1 - beta ** counts.clamp(min=1))
    return weights * counts.sum() / (weights * counts).sum()
