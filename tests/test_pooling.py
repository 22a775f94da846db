"""Poolings, against formulas written another way."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import timm.layers
import torch
from helpers import random_images
from torch import nn

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError
from okkhor.models.heads import AverageMaxPooling, AveragePooling, ExcitedAveragePooling, GeneralisedMeanPooling
from okkhor.models.network import create_network
from okkhor.models.small_convolutions import multiply_small_maps
from okkhor.schema import HEADS

SMALL = ModelConfig(backbone="resnet10t")
POOLINGS = ("average", "gem", "average_max", "sse")


def test_generalised_mean_is_the_formula_in_double_precision() -> None:
    pooling = GeneralisedMeanPooling()
    features = torch.rand(2, 5, 4, 4) * 3
    for exponent in (1.0, 2.5, 3.0, 20.0):
        nn.init.constant_(pooling.exponent, exponent)
        expected = features.double().pow(exponent).mean(dim=(2, 3)).pow(1 / exponent)
        torch.testing.assert_close(pooling(features).double(), expected, rtol=1e-5, atol=1e-6)
    nn.init.constant_(pooling.exponent, 1.0)
    torch.testing.assert_close(pooling(features), AveragePooling()(features))


def test_generalised_mean_has_the_gradient_of_the_formula() -> None:
    pooling = GeneralisedMeanPooling()
    features = (torch.rand(2, 3, 4, 4) + 0.1).requires_grad_()
    weights = torch.randn(2, 3)
    found = torch.autograd.grad((pooling(features) * weights).sum(), [features, pooling.exponent])
    exponent = torch.tensor([3.0], requires_grad=True)
    plain = features.pow(exponent).mean(dim=(2, 3)).pow(1 / exponent)
    expected = torch.autograd.grad((plain * weights).sum(), [features, exponent])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -5.0, 1e-30, 60_000.0, 1e30])
def test_generalised_mean_stays_finite_in_bfloat16(value: float) -> None:
    pooling = GeneralisedMeanPooling()
    features = torch.full((1, 2, 4, 4), value, dtype=torch.bfloat16)
    features[0, 0, 0, 0] = 0
    features.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pooling(features)
    assert pooled.dtype == torch.float32
    (pooled / pooled.detach()).sum().backward()
    assert features.grad is not None
    assert pooling.exponent.grad is not None
    assert all(tensor.isfinite().all() for tensor in (pooled, features.grad, pooling.exponent.grad))


@pytest.mark.parametrize("pooling", ["average", "gem", "average_max", "sse"])
def test_bfloat16_logits_are_near_those_of_float32(pooling: Any) -> None:
    network = create_network(ModelConfig(backbone="resnet10t", pooling=pooling), 64).eval()
    exact = network(random_images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(random_images())
    for name in exact:
        torch.testing.assert_close(rounded[name].float(), exact[name], rtol=0.05, atol=0.05)


def test_each_head_learns_an_exponent_of_its_own() -> None:
    network = create_network(replace(SMALL, pooling="gem"), 64)
    logits = network(random_images())
    logits["vowel_diacritic"].square().sum().backward()
    exponents = {name: p for name, p in network.named_parameters() if name.endswith("exponent")}
    assert list(exponents) == [f"heads.{head.name}.pooling.exponent" for head in HEADS]
    assert [name.split(".")[1] for name, p in exponents.items() if p.grad is not None] == ["vowel_diacritic"]


def test_average_and_maximum_are_pooled_as_timm_does() -> None:
    features = torch.randn(3, 5, 4, 6)
    expected = timm.layers.SelectAdaptivePool2d(pool_type="avgmax", flatten=True)(features)
    torch.testing.assert_close(AverageMaxPooling()(features), expected)


def test_spatial_excitation_is_the_formula_place_by_place() -> None:
    pooling = ExcitedAveragePooling(5)
    features = torch.randn(2, 5, 3, 4)
    weight = pooling.squeeze.weight.detach().double().numpy().reshape(5)
    assert pooling.squeeze.bias is not None
    bias = pooling.squeeze.bias.item()
    expected = np.zeros((2, 5))
    for image, row, column in product(range(2), range(3), range(4)):
        values = features[image, :, row, column].double().numpy()
        expected[image] += values / (1 + np.exp(-(weight @ values + bias))) / 12
    np.testing.assert_allclose(pooling(features).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_spatial_excitation_that_is_wide_open_is_the_average() -> None:
    pooling = ExcitedAveragePooling(5)
    assert pooling.squeeze.bias is not None
    nn.init.constant_(pooling.squeeze.bias, 50.0)
    features = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(pooling(features), AveragePooling()(features))


def test_each_head_looks_where_it_has_learnt_to() -> None:
    network = create_network(replace(SMALL, pooling="sse"), 64)
    network(random_images())["vowel_diacritic"].square().sum().backward()
    squeezes = {name: p for name, p in network.named_parameters() if "squeeze" in name}
    assert len(squeezes) == 2 * len(HEADS)
    assert {name.split(".")[1] for name, p in squeezes.items() if p.grad is not None} == {"vowel_diacritic"}


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "mambaout_femto"])  # tokens; (B, H, W, C)
@pytest.mark.parametrize("pooling", ["gem", "average_max", "sse"])
def test_a_pooling_is_refused_where_there_is_no_map_to_pool(backbone: str, pooling: Any) -> None:
    message = rf"model\.pooling={pooling}: {backbone} has no feature map .* Set model\.pooling=average"
    with pytest.raises(ConfigError, match=message):
        create_network(ModelConfig(backbone=backbone, pooling=pooling), 64)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_pooling_minds_how_maps_lie_in_memory_or_how_small_ones_are_convolved(pooling: Any) -> None:
    settings = replace(SMALL, pooling=pooling, hidden=16, consonant="parts", graphemes="arcface")
    network = create_network(settings, 64, torch.tensor([[0, 0, 0], [167, 10, 6]])).eval()
    expected = network(random_images())
    multiply_small_maps(network)
    network.to(memory_format=torch.channels_last)
    for name, logits in network(random_images()).items():
        torch.testing.assert_close(logits, expected[name], rtol=1e-3, atol=1e-4)
