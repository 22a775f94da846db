"""Class activation, compared with networks that are known to look at one place."""

import numpy as np
import pytest
import torch
from helpers import random_images
from torch import nn

from okkhor.config import ModelConfig
from okkhor.label_triples import Labels
from okkhor.models.network import create_network
from okkhor.report.picture_section import MIN_PLACES, find_layer, map_activation
from okkhor.schema import HEAD_NAMES, HEADS

SIZE = 48  # pixels
LABELS = Labels(np.zeros((2, len(HEADS)), np.int64))


class CornerNetwork(nn.Module):
    """Class 0 of each head is ink in a corner: top left, top right, bottom left. Nothing else counts."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.AvgPool2d(6), nn.ReLU(), nn.Conv2d(1, 1, 1))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.backbone(images.float() / 255)
        corners = features[:, :, :4, :4], features[:, :, :4, 4:], features[:, :, 4:, :4]
        return {
            head.name: torch.cat([corner.abs().mean((2, 3)).expand(-1, head.num_classes)], 1)
            for head, corner in zip(HEADS, corners, strict=True)
        }


def test_the_map_is_bright_where_the_network_looks_and_dark_elsewhere() -> None:
    pytest.importorskip("torchcam")
    network = CornerNetwork()
    nn.init.constant_(network.backbone[2].weight, 1.0)  # type: ignore[arg-type]
    nn.init.zeros_(network.backbone[2].bias)  # type: ignore[arg-type]
    images = torch.full((2, 1, SIZE, SIZE), 255, dtype=torch.uint8)
    maps = map_activation(network, images, LABELS)
    assert maps is not None
    half = SIZE // 2
    for head, (top, left) in zip(HEADS, ((0, 0), (0, half), (half, 0)), strict=True):
        found = maps[head.name]
        assert found.shape == (2, SIZE, SIZE)
        inside = found[:, top : top + half, left : left + half]
        assert inside.mean() > 0.9
        assert inside.sum() / found.sum() > 0.85  # smoothing carries the rest over
        assert 0 <= found.min() <= found.max() <= 1


def test_the_last_map_of_six_places_is_read_whatever_the_backbone() -> None:
    assert find_layer(create_network(ModelConfig(backbone="resnet34"), 48), random_images(1, 48)) == "backbone.layer2"
    large = create_network(ModelConfig(backbone="article_resnet34"), 128)
    layer = find_layer(large, random_images(1, 128))
    assert layer is not None
    shapes = []
    large.get_submodule(layer).register_forward_hook(lambda _module, _given, output: shapes.append(output.shape))
    large(random_images(2, 128))
    assert min(shapes[0][2:]) == 8 >= MIN_PLACES


def test_a_network_of_tokens_or_of_tiny_maps_has_no_map() -> None:
    pytest.importorskip("torchcam")
    vision_transformer = create_network(ModelConfig(backbone="vit_tiny_patch16_224"), 64)
    assert map_activation(vision_transformer, random_images(2, 64), LABELS) is None
    assert find_layer(CornerNetwork(), random_images(1, 30)) is None  # 5 x 5 places


def test_mapping_leaves_neither_gradients_nor_hooks_behind() -> None:
    pytest.importorskip("torchcam")
    network = create_network(ModelConfig(backbone="resnet10t"), SIZE)
    assert map_activation(network, random_images(2, SIZE), LABELS) is not None
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert set(map_activation(network, random_images(2, SIZE), LABELS) or ()) == set(HEAD_NAMES)
