"""Hidden layers and last layers, against formulas written another way."""

from dataclasses import replace
from itertools import product

import numpy as np
import torch
from helpers import random_images
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn
from torch.nn import functional

from okkhor.config import ModelConfig
from okkhor.models.heads import ClassificationHead, ConsonantPartsLinear, CosineLinear
from okkhor.models.network import create_network
from okkhor.schema import HEADS

SMALL = ModelConfig(backbone="resnet10t")


# Hidden layer and dropout


def test_a_hidden_layer_is_linear_batch_norm_and_rectifier() -> None:
    head = ClassificationHead(6, 3, pooling=None, hidden=4, dropout=0.0).train()
    linear, norm = head.get_submodule("hidden.0"), head.get_submodule("hidden.1")
    nn.init.normal_(norm.get_parameter("weight"))
    nn.init.normal_(norm.get_parameter("bias"))
    features = torch.randn(8, 6)
    before = features @ linear.get_parameter("weight").T
    normalised = (before - before.mean(dim=0)) / (before.var(dim=0, unbiased=False) + 1e-5).sqrt()
    hidden = (normalised * norm.get_parameter("weight") + norm.get_parameter("bias")).clamp(min=0)
    torch.testing.assert_close(head(features), hidden @ head.linear.weight.T + head.linear.bias)


def test_all_heads_have_the_hidden_layer_and_take_part_in_training() -> None:
    settings = replace(SMALL, hidden=16, graphemes="linear")
    network = create_network(settings, 64, torch.tensor([[0, 0, 0], [167, 10, 6]]))
    torch.stack([logits.logsumexp(1).sum() for logits in network(random_images()).values()]).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert [m.out_features for m in network.heads.modules() if isinstance(m, nn.Linear)] == [
        16,
        168,
        16,
        11,
        16,
        7,
        16,
        2,
    ]


def test_dropout_stands_before_each_head_and_in_training_only() -> None:
    network = create_network(replace(SMALL, dropout=0.5), 64)
    assert [m.p for m in network.heads.modules() if isinstance(m, nn.Dropout)] == [0.5] * len(HEADS)
    network.eval()
    first, second = network(random_images()), network(random_images())
    assert all(torch.equal(first[head.name], second[head.name]) for head in HEADS)


def test_dropout_stands_behind_the_hidden_layer() -> None:
    head = ClassificationHead(6, 3, pooling=None, hidden=4, dropout=0.5)
    assert [name for name, _ in head.named_children()] == ["pooling", "hidden", "dropout", "linear"]
    seen: list[tuple[int, ...]] = []
    head.dropout.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape)))
    head(torch.randn(8, 6))
    assert seen == [(8, 4)]


# Consonants from their parts

WRITTEN_WITH = {0: "", 1: "ঁ", 2: "r", 3: "ry", 4: "y", 5: "R", 6: "yR"}  # r: reph, y: ya-phala, R: ra-phala


def test_consonants_are_the_normalised_products_of_the_sigmoids_of_their_parts() -> None:
    layer = ConsonantPartsLinear(5, 7)
    features = torch.randn(4, 5) * 3
    z = (features @ layer.weight.T + layer.bias).detach().double().numpy()
    there = 1 / (1 + np.exp(-z))
    products = np.ones((4, 7))
    for consonant, (number, part) in product(WRITTEN_WITH, enumerate("ঁryR")):
        products[:, consonant] *= there[:, number] if part in WRITTEN_WITH[consonant] else 1 - there[:, number]
    expected = products / products.sum(axis=1, keepdims=True)
    found = layer(features).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_only_the_consonant_head_is_made_of_parts() -> None:
    network = create_network(replace(SMALL, consonant="parts"), 64)
    assert {name: tuple(values.shape) for name, values in network(random_images()).items()} == {
        "grapheme_root": (2, 168),
        "vowel_diacritic": (2, 11),
        "consonant_diacritic": (2, 7),
    }
    rows = {head.name: len(network.get_parameter(f"heads.{head.name}.linear.weight")) for head in HEADS}
    assert rows == {"grapheme_root": 168, "vowel_diacritic": 11, "consonant_diacritic": 4}


def test_a_rare_consonant_learns_from_the_frequent_ones_it_shares_its_parts_with() -> None:
    layer = ConsonantPartsLinear(5, 7)
    features = torch.randn(1, 5)
    before = layer(features)
    functional.cross_entropy(before, torch.tensor([4])).backward()  # ya-phala alone
    with torch.no_grad():
        for parameter in layer.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    change = (layer(features) - before).detach()[0]
    assert change[3] > change[2]  # with ya-phala, and without
    assert change[6] > change[5]


# Cosines


def test_a_cosine_layer_is_scikit_learns_cosine_similarity_thirty_times() -> None:
    layer = CosineLinear(6, 9)
    features = torch.randn(4, 6) * 7
    expected = 30 * cosine_similarity(features.numpy(), layer.weight.detach().numpy())
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_cosine_is_bounded_whatever_the_features_and_also_in_bfloat16() -> None:
    layer = CosineLinear(6, 9)
    features = torch.cat([torch.zeros(1, 6), 1e4 * torch.randn(3, 6), 1e-4 * torch.randn(3, 6), layer.weight.detach()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(features.bfloat16())
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.abs().max() <= 30 * (1 + 1e-6)
    torch.testing.assert_close(logits[-9:].diagonal(), torch.full((9,), 30.0), rtol=1e-4, atol=0)
