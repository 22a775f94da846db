"""Dropout, last layers, poolings and the grapheme head, against formulas written another way."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import timm.layers
import torch
from helpers import random_images
from sklearn.metrics.pairwise import cosine_similarity
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError
from okkhor.models.heads import (
    AverageMaxPooling,
    AveragePooling,
    ConsonantPartsLinear,
    CosineLinear,
    GeneralisedMeanPooling,
    log_marginals,
    marginalise,
)
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.models.small_convolutions import multiply_small_maps
from okkhor.schema import HEADS

SMALL = ModelConfig(backbone="resnet10t")
NUM_GRAPHEMES = 300
WRITTEN_WITH = {0: "", 1: "ঁ", 2: "r", 3: "ry", 4: "y", 5: "R", 6: "yR"}  # r: reph, y: ya-phala, R: ra-phala


def random_graphemes() -> Tensor:
    """(NUM_GRAPHEMES, 3) int64, label triples; the last class of each head has no grapheme."""
    return torch.stack([torch.randint(head.num_classes - 1, (NUM_GRAPHEMES,)) for head in HEADS], dim=1)


def make_network(**settings: Any) -> ThreeHeadNetwork:
    return create_network(replace(SMALL, **settings), 64, random_graphemes())


def test_all_heads_have_a_dropout_and_get_a_gradient() -> None:
    network = make_network(graphemes="linear", dropout=0.5)
    torch.stack([logits.logsumexp(1).sum() for logits in network(random_images()).values()]).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    widths = [m.out_features for m in network.heads.modules() if isinstance(m, nn.Linear)]
    assert widths == [168, 11, 7, NUM_GRAPHEMES]
    assert [m.p for m in network.heads.modules() if isinstance(m, nn.Dropout)] == [0.5] * 4


def test_consonants_are_the_normalised_products_of_the_sigmoids_of_their_parts() -> None:
    layer = ConsonantPartsLinear(5, 7)
    features = torch.randn(4, 5) * 3
    z = (features @ layer.weight.T + layer.bias).detach().double().numpy()
    there = 1 / (1 + np.exp(-z))
    products = np.ones((4, 7))
    for consonant, (number, part) in product(WRITTEN_WITH, enumerate("ঁryR")):
        products[:, consonant] *= there[:, number] if part in WRITTEN_WITH[consonant] else 1 - there[:, number]
    found = layer(features).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, products / products.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_only_the_consonant_head_is_made_of_parts() -> None:
    network = make_network(consonant="parts")
    assert [len(network.get_parameter(f"heads.{head.name}.linear.weight")) for head in HEADS] == [168, 11, 4]
    assert not [name for name in network.state_dict() if "parts" in name]  # a fact of the competition is no weight


def test_a_cosine_layer_is_scikit_learns_cosine_similarity_thirty_times() -> None:
    layer = CosineLinear(6, 9)
    features = torch.randn(4, 6) * 7
    expected = 30 * cosine_similarity(features.numpy(), layer.weight.detach().numpy())
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_cosine_is_bounded_for_any_features_also_in_bfloat16() -> None:
    layer = CosineLinear(6, 9)
    features = torch.cat([torch.zeros(1, 6), 1e4 * torch.randn(3, 6), 1e-4 * torch.randn(3, 6), layer.weight.detach()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(features.bfloat16())
    assert logits.dtype == torch.float32
    assert logits.abs().max() <= 30 * (1 + 1e-6)
    torch.testing.assert_close(logits[-9:].diagonal(), torch.full((9,), 30.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("exponent", [1.01, 2.5, 3.0, 20.0])
def test_generalised_mean_and_its_gradients_are_those_of_the_formula_in_double_precision(exponent: float) -> None:
    pooling, features, weights = GeneralisedMeanPooling(), torch.rand(2, 5, 4, 4) * 3 + 0.1, torch.randn(2, 5)
    nn.init.constant_(pooling.exponent, exponent)
    plain, power = features.double().requires_grad_(), torch.tensor([exponent]).double().requires_grad_()
    expected = plain.pow(power).mean(dim=(2, 3)).pow(1 / power)
    found = pooling(features.requires_grad_())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad((found * weights).sum(), [features, pooling.exponent])
    wanted = torch.autograd.grad((expected * weights).sum(), [plain, power])
    torch.testing.assert_close(gradients, wanted, rtol=1e-3, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("value", [0.0, -5.0, 1e-30, 60_000.0, 1e30])
def test_generalised_mean_stays_finite_in_bfloat16(value: float) -> None:
    pooling = GeneralisedMeanPooling()
    features = torch.full((1, 2, 4, 4), value, dtype=torch.bfloat16)
    features[0, 0, 0, 0] = 0
    features.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pooling(features)
    assert pooled.dtype == torch.float32
    gradients = torch.autograd.grad((pooled / pooled.detach()).sum(), [features, pooling.exponent])
    assert all(tensor.isfinite().all() for tensor in (pooled, *gradients))


def test_average_and_maximum_are_pooled_as_timm_does() -> None:
    features = torch.randn(3, 5, 4, 6)
    expected = timm.layers.SelectAdaptivePool2d(pool_type="avgmax", flatten=True)(features)
    torch.testing.assert_close(AverageMaxPooling()(features), expected)
    torch.testing.assert_close(AveragePooling()(features), features.mean(dim=(2, 3)))
    generalised, positive = GeneralisedMeanPooling(), torch.rand(2, 5, 4, 4)
    nn.init.ones_(generalised.exponent)
    torch.testing.assert_close(generalised(positive), positive.mean(dim=(2, 3)))


@pytest.mark.parametrize(("backbone", "pooling"), [("vit_tiny_patch16_224", "gem"), ("mambaout_femto", "average_max")])
def test_a_pooling_is_refused_without_a_map_to_pool(backbone: str, pooling: Any) -> None:  # tokens; (B, H, W, C)
    message = rf"model\.pooling={pooling}: {backbone} has no feature map .* Set model\.pooling=average"
    with pytest.raises(ConfigError, match=message):
        create_network(ModelConfig(backbone=backbone, pooling=pooling), 64)


@pytest.mark.parametrize("pooling", ["average", "gem", "average_max"])
def test_logits_depend_on_neither_memory_layout_nor_products_and_bfloat16_is_near(pooling: str) -> None:
    network = make_network(pooling=pooling, consonant="parts", graphemes="arcface").eval()
    expected = network(random_images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(random_images())
    multiply_small_maps(network)
    network.to(memory_format=torch.channels_last)
    for name, logits in network(random_images()).items():
        torch.testing.assert_close(logits, expected[name], rtol=1e-3, atol=1e-4)
        if name.endswith("_grapheme"):
            assert rounded[name].dtype == torch.float32
            torch.testing.assert_close(rounded[name].softmax(1), expected[name].softmax(1), rtol=0.05, atol=0.002)
        else:
            torch.testing.assert_close(rounded[name].float(), expected[name], rtol=0.05, atol=0.05)


def test_a_class_is_as_probable_as_its_graphemes_together() -> None:
    graphemes, logits = random_graphemes(), torch.randn(3, NUM_GRAPHEMES) * 5
    probabilities = logits.double().softmax(dim=1)
    marginals, logs = marginalise(probabilities, graphemes), log_marginals(logits, graphemes)
    for column, head in enumerate(HEADS):
        expected = np.zeros((3, head.num_classes))
        for number, triple in enumerate(graphemes.tolist()):
            expected[:, triple[column]] += probabilities[:, number].numpy()
        np.testing.assert_allclose(marginals[head.name].numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
        log = logs[f"{head.name}_grapheme"]
        assert log.isfinite().all()  # also of the class that no grapheme has
        np.testing.assert_allclose(log.double().softmax(dim=1).numpy(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["linear", "arcface"])
def test_the_grapheme_head_gives_graphemes_in_training_and_their_classes_in_evaluation(kind: str) -> None:
    network = make_network(graphemes=kind)
    names = [head.name for head in HEADS]
    logits = network(random_images())
    assert list(logits) == [*names, "grapheme"]
    assert logits["grapheme"].shape == (2, NUM_GRAPHEMES)
    predicted = network.eval()(random_images())
    assert list(predicted) == [*names, *(f"{name}_grapheme" for name in names)]
    with torch.no_grad():
        features = network.backbone((random_images().double() / 255 - 0.0692).div(0.2051).float())
        alone = {name: head(features) for name, head in network.heads.items()}
    marginals = marginalise(alone["grapheme"].softmax(dim=1), network.grapheme_labels)
    for name in names:
        torch.testing.assert_close(predicted[name], alone[name], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(predicted[f"{name}_grapheme"].softmax(dim=1), marginals[name], rtol=1e-3, atol=1e-5)


def test_label_triples_stay_with_a_mean_of_the_weights() -> None:
    graphemes = random_graphemes()
    network = create_network(replace(SMALL, graphemes="linear"), 64, graphemes.numpy())
    ema = ModelEmaV3(network, decay=0.9)
    ema.update(network, step=1)
    assert torch.equal(ema.module.get_buffer("grapheme_labels"), graphemes)
