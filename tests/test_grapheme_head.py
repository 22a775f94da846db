"""The head over whole graphemes, and what it says about their components."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_images
from timm.utils import ModelEmaV3
from torch import Tensor

from okkhor.config import ModelConfig
from okkhor.models.grapheme_head import marginalise, mix_in_graphemes
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.schema import HEADS

SMALL = ModelConfig(backbone="resnet10t", graphemes="linear")
NUM_GRAPHEMES = 300


def random_graphemes() -> Tensor:
    """(NUM_GRAPHEMES, 3) int64, triples of labels; the last class of each head has no grapheme."""
    columns = [torch.randint(head.num_classes - 1, (NUM_GRAPHEMES,)) for head in HEADS]
    return torch.stack(columns, dim=1)


def network_with_graphemes(**settings: Any) -> ThreeHeadNetwork:
    return create_network(replace(SMALL, **settings), 64, random_graphemes())


def test_a_component_is_as_probable_as_its_graphemes_together() -> None:
    graphemes = random_graphemes()
    probabilities = torch.randn(3, NUM_GRAPHEMES).mul(3).softmax(dim=1)
    marginals = marginalise(probabilities, graphemes)
    for column, head in enumerate(HEADS):
        expected = np.zeros((3, head.num_classes))
        for number, triple in enumerate(graphemes.tolist()):
            expected[:, triple[column]] += probabilities[:, number].numpy()
        np.testing.assert_allclose(marginals[head.name].numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_softmax_of_a_mixture_gives_the_mixed_probabilities_back(share: float) -> None:
    graphemes = random_graphemes()
    logits = {head.name: torch.randn(3, head.num_classes) * 5 for head in HEADS}
    logits["grapheme"] = torch.randn(3, NUM_GRAPHEMES) * 5
    marginals = marginalise(logits["grapheme"].softmax(dim=1), graphemes)
    for name, mixture in mix_in_graphemes(logits, graphemes, share).items():
        assert mixture.isfinite().all()  # also of the class that no grapheme carries
        expected = (1 - share) * logits[name].double().softmax(dim=1) + share * marginals[name].double()
        torch.testing.assert_close(mixture.double().softmax(dim=1), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["linear", "arcface"])
def test_the_grapheme_head_speaks_in_training_and_is_mixed_in_afterwards(kind: Any) -> None:
    network = network_with_graphemes(graphemes=kind, grapheme_share=0.25)
    names = [head.name for head in HEADS]
    logits = network(random_images())
    assert list(logits) == [*names, "grapheme"]
    assert logits["grapheme"].shape == (2, NUM_GRAPHEMES)
    network.eval()
    mixed = network(random_images())
    assert list(mixed) == names
    with torch.no_grad():
        features = network.backbone((random_images().double() / 255 - 0.0692).div(0.2051).float())
        parts = {name: head(features) for name, head in network.heads.items()}
    marginals = marginalise(parts["grapheme"].softmax(dim=1), network.grapheme_labels)
    for name in names:
        expected = 0.75 * parts[name].softmax(dim=1) + 0.25 * marginals[name]
        torch.testing.assert_close(mixed[name].softmax(dim=1), expected, rtol=1e-3, atol=1e-5)


def test_without_a_share_the_three_heads_predict_alone() -> None:
    network = network_with_graphemes().eval()
    plain = create_network(ModelConfig(backbone="resnet10t"), 64).eval()
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    expected = plain(random_images())
    assert all(torch.equal(logits, expected[name]) for name, logits in network(random_images()).items())


def test_a_mixture_in_bfloat16_is_near_that_in_float32() -> None:
    network = network_with_graphemes(graphemes="arcface", grapheme_share=0.5).eval()
    exact = network(random_images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(random_images())
    for name in exact:
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name].softmax(1), exact[name].softmax(1), rtol=0.05, atol=0.002)


def test_the_labels_of_the_graphemes_stay_with_a_running_mean_of_the_weights() -> None:
    network = network_with_graphemes()
    ema = ModelEmaV3(network, decay=0.9)
    ema.update(network, step=1)
    assert torch.equal(ema.module.get_buffer("grapheme_labels"), network.grapheme_labels)


def test_graphemes_may_come_as_an_array_and_are_ignored_where_no_head_is_asked_for() -> None:
    graphemes = random_graphemes()
    network = create_network(SMALL, 64, graphemes.numpy())
    assert torch.equal(network.grapheme_labels, graphemes)
    graphemes[0] = 0  # the network has a copy of its own
    plain = create_network(replace(SMALL, graphemes="none"), 64, graphemes)
    assert "grapheme" not in plain.heads
    assert "grapheme_labels" not in plain.state_dict()


@pytest.mark.parametrize(
    "graphemes",
    [
        None,
        torch.tensor([[0.0, 0.0, 0.0]]),
        torch.tensor([[0, 0]]),
        torch.tensor([0, 0, 0]),
        torch.tensor([[168, 0, 0]]),
        torch.tensor([[0, -1, 0]]),
    ],
)
def test_what_is_no_table_of_graphemes_is_our_own_mistake(graphemes: Tensor | None) -> None:
    with pytest.raises(AssertionError):
        create_network(SMALL, 64, graphemes)
