"""What a head over whole graphemes says about their components."""

import torch
from torch import Tensor

from okkhor.schema import HEADS, MARGINALS


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
