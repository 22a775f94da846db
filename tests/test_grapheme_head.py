"""The head over whole graphemes, and what it says about their components."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_images
from timm.utils import ModelEmaV3
from torch import Tensor

from okkhor.config import ModelConfig
from okkhor.models.heads import log_marginals, marginalise
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


def test_softmax_of_the_log_marginals_gives_the_marginals_back() -> None:
    graphemes, logits = random_graphemes(), torch.randn(3, NUM_GRAPHEMES) * 5
    marginals = marginalise(logits.double().softmax(dim=1), graphemes)
    for head in HEADS:
        logs = log_marginals(logits, graphemes)[f"{head.name}_grapheme"]
        assert logs.isfinite().all()  # also of the class that no grapheme carries
        torch.testing.assert_close(logs.double().softmax(dim=1), marginals[head.name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["linear", "arcface"])
def test_the_grapheme_head_speaks_of_graphemes_in_training_and_of_their_components_afterwards(kind: Any) -> None:
    network = network_with_graphemes(graphemes=kind)
    names = [head.name for head in HEADS]
    logits = network(random_images())
    assert list(logits) == [*names, "grapheme"]
    assert logits["grapheme"].shape == (2, NUM_GRAPHEMES)
    network.eval()
    predicted = network(random_images())
    assert list(predicted) == [*names, *(f"{name}_grapheme" for name in names)]
    with torch.no_grad():
        features = network.backbone((random_images().double() / 255 - 0.0692).div(0.2051).float())
        parts = {name: head(features) for name, head in network.heads.items()}
    marginals = marginalise(parts["grapheme"].softmax(dim=1), network.grapheme_labels)
    for name in names:
        torch.testing.assert_close(predicted[name], parts[name], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(predicted[f"{name}_grapheme"].softmax(dim=1), marginals[name], rtol=1e-3, atol=1e-5)


def test_the_three_heads_predict_as_without_a_fourth() -> None:
    network = network_with_graphemes().eval()
    plain = create_network(ModelConfig(backbone="resnet10t"), 64).eval()
    plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
    predicted = network(random_images())
    assert all(torch.equal(logits, predicted[name]) for name, logits in plain(random_images()).items())


def test_marginals_in_bfloat16_are_near_those_in_float32() -> None:
    network = network_with_graphemes(graphemes="arcface").eval()
    exact = network(random_images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(random_images())
    for name in (f"{head.name}_grapheme" for head in HEADS):
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
