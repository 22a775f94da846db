"""The loss of three heads, and of a fourth over whole graphemes: parts that compose."""

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
"""The consonant classes of one part each, in the order of the parts: their logits are the logits of the parts."""


class ThreeHeadLoss:
    """For each image, the mean of the heads' losses by head_weights, and the grapheme head's on top by its weight.

    consonant: "parts" where that head answers four yes-no questions. training_labels: for each head, (N,) int64, whose
    frequencies logit adjustment and class balance need. graphemes: "arcface" where the grapheme logits are cosines.
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
        self.parts = torch.tensor(CONSONANT_PARTS, dtype=torch.float32, device=device)  # (7, 4)
        self.log_priors = make_log_priors(training_labels, config.logit_adjustment, device)
        self.part_priors = make_part_priors(training_labels[CONSONANT], config.logit_adjustment).to(device)
        self.smooth_shares = make_smooth_shares(training_labels, config.logit_adjustment, device)
        self.class_weights = make_class_weights(training_labels, config.class_balance, device)

    def __call__(
        self,
        logits: Mapping[str, Tensor],
        labels: Tensor,
        partners: Tensor | None = None,
        share: float = 1.0,
        epoch: int = 0,
    ) -> Tensor:
        """Returns a float32 scalar.

        logits: for each head, and `grapheme` where there is that head, (B, num_classes). labels: (B, K) int64, in the
        order of HEADS, then the grapheme's. partners: the labels of images mixed in; share: of the first ones.
        """
        losses = self.of_each_image(logits, labels)
        if partners is not None and share < 1:
            losses = share * losses + (1 - share) * self.of_each_image(logits, partners)
        if self.config.hard_share < 1 and epoch >= self.config.hard_from_epoch:
            # online hard example mining, Shrivastava et al. 2016, arXiv:1604.03540
            losses = losses.topk(max(1, round(self.config.hard_share * len(losses)))).values
        return losses.mean()

    def of_each_image(self, logits: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """(B,) float32."""
        total = torch.zeros(len(labels), device=labels.device)
        for column, (head, weight) in enumerate(zip(HEADS, self.config.head_weights, strict=True)):
            if head.name == CONSONANT and self.has_parts:
                loss = self.of_parts(logits[head.name].float(), labels[:, column])
            else:
                loss = self.of_classes(logits[head.name].float(), labels[:, column], head.name)
            total = total + weight / sum(self.config.head_weights) * loss
        if GRAPHEME in logits:
            scores = add_margin(logits[GRAPHEME].float(), labels[:, len(HEADS)], self.margin)
            smoothing = self.config.label_smoothing
            loss = functional.cross_entropy(scores, labels[:, len(HEADS)], reduction="none", label_smoothing=smoothing)
            total = total + self.config.grapheme_weight * loss
        return total

    def of_classes(self, logits: Tensor, labels: Tensor, name: str) -> Tensor:
        """(B, C), (B,) -> (B,): cross-entropy, adjusted, smoothed, focal and balanced as the settings say."""
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
        """(B, 7), (B,) -> (B,): binary cross-entropy, summed over the four parts, as a class's parts multiply."""
        scores = logits[:, PART_CLASSES] + self.part_priors
        smoothing = self.config.label_smoothing
        targets = self.parts[labels] * (1 - smoothing) + smoothing * self.part_priors.sigmoid()  # 0.5 where unadjusted
        loss = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(dim=1)
        return self.class_weights[CONSONANT][labels] * loss


def add_margin(logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """scale * cos(angle) -> the same with the right class's angle larger by the margin. (B, G) float32.

    ArcFace, Deng et al. 2019, arXiv:1801.07698. Beyond a half turn the cosine would rise again: a line goes on there.
    """
    if not margin:
        return logits
    cosines = (logits / ARCFACE_SCALE).gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    sines = (1 - cosines.square()).sqrt()
    moved = cosines * np.cos(margin) - sines * np.sin(margin)
    moved = torch.where(cosines > -np.cos(margin), moved, cosines - margin * np.sin(margin))
    return logits.scatter(1, labels[:, None], ARCFACE_SCALE * moved)


def make_log_priors(
    labels: Mapping[str, NDArray[np.int64]], strength: float, device: torch.device
) -> dict[str, Tensor]:
    """For each head, strength * log(share of each class), (num_classes,) float32.

    Added to the logits in training, they take over what is known of the classes' frequencies; the network's own logits,
    used alone afterwards, treat all classes alike, which is what macro recall asks for (at strength 1). Logit
    adjustment, Menon et al. 2021, arXiv:2007.07314. A class without images gets 0: it is learnt to be improbable.
    """
    log_priors = {}
    for name, counts in count_classes(labels).items():
        shares = torch.where(counts > 0, counts / counts.sum(), 1.0)
        log_priors[name] = (strength * shares.log()).to(device)
    return log_priors


def make_smooth_shares(
    labels: Mapping[str, NDArray[np.int64]], strength: float, device: torch.device
) -> dict[str, Tensor]:
    """For each head, how label smoothing spreads its share over the classes: (num_classes,) float32, of sum 1.

    Evenly, but by share^strength where logits are adjusted by that: what the network itself is taught is then an even
    spread. An even target over adjusted logits would teach it that rare classes are likely: with smoothing 0.1 the
    recall of consonants fell from .964 to .715.
    """
    spread = {}
    for name, counts in count_classes(labels).items():
        weights = torch.where(counts > 0, counts, 0.0) ** strength if strength else torch.ones_like(counts)
        spread[name] = (weights / weights.sum()).to(device)
    return spread


def make_part_priors(labels: NDArray[np.int64], strength: float) -> Tensor:
    """(4,) float32: strength * log(share / (1 - share)) of each consonant part; 0 for one that all have or none."""
    shares = torch.tensor(CONSONANT_PARTS, dtype=torch.float32)[torch.from_numpy(labels)].mean(dim=0)
    return strength * torch.where((shares > 0) & (shares < 1), shares, 0.5).logit()


def make_class_weights(labels: Mapping[str, NDArray[np.int64]], beta: float, device: torch.device) -> dict[str, Tensor]:
    """For each head, (1 - beta) / (1 - beta^count) of each class, of mean 1 over the images: (num_classes,) float32.

    Class-balanced loss, Cui et al. 2019, arXiv:1901.05555. beta 0: all weights are 1.
    """
    class_weights = {}
    for name, counts in count_classes(labels).items():
        weights = (1 - beta) / (1 - beta ** counts.clamp(min=1))
        class_weights[name] = (weights * counts.sum() / (weights * counts).sum()).to(device)
    return class_weights


def count_classes(labels: Mapping[str, NDArray[np.int64]]) -> dict[str, Tensor]:
    """For each of HEADS, the images of each class: (num_classes,) float32."""
    return {h.name: torch.from_numpy(np.bincount(labels[h.name], minlength=h.num_classes)).float() for h in HEADS}
