"""What trains in which epoch, and that nothing else moves."""

from itertools import chain
from typing import Any

import pytest
import torch
from helpers import random_images
from timm.optim import Muon
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW

from okkhor.config import ModelConfig
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.training.freezing import freeze, group_layers


def trained_share(network: ThreeHeadNetwork) -> float:
    """Return the share of the backbone's layer groups that train; asserts that these are the last ones."""
    groups = group_layers(network.backbone)
    trains = [[network.backbone.get_parameter(name).requires_grad for name in names] for names in groups]
    assert all(len(set(flags)) == 1 for flags in trains)
    flags = [flags[0] for flags in trains]
    assert flags == sorted(flags)  # frozen ones first
    return sum(flags) / len(flags)


@pytest.mark.parametrize("name", ["resnet34", "article_resnet34", "article_plain34"])
def test_resnet34_thaws_pair_by_pair_of_its_convolutions(name: str) -> None:
    groups = group_layers(create_network(ModelConfig(backbone=name), 64).backbone)
    stages = ((1, 3), (2, 4), (3, 6), (4, 3))
    expected = [{"conv1", "bn1"}, *({f"layer{stage}.{pair}"} for stage, num in stages for pair in range(num))]
    found = [{".".join(name.split(".")[: 2 if name.startswith("layer") else 1]) for name in names} for names in groups]
    assert found == expected


@pytest.mark.parametrize(
    "name",
    ["mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224", "poolformer_s12"],  # the last has no groups
)
def test_every_parameter_of_a_backbone_is_in_one_group(name: str) -> None:
    backbone = create_network(ModelConfig(backbone=name), 64).backbone
    groups = group_layers(backbone)
    assert len(groups) > 1
    assert sorted(chain(*groups)) == sorted(name for name, _ in backbone.named_parameters())


def test_the_backbone_thaws_evenly_from_its_end() -> None:
    network = create_network(ModelConfig(backbone="resnet34"), 64)
    shares = []
    for epoch in range(7):
        freeze(network, epoch, freeze_epochs=5)
        shares.append(trained_share(network))
        assert all(parameter.requires_grad for parameter in network.heads.parameters())
    assert shares == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1], abs=1 / 17)
    assert (shares[0], *shares[5:]) == (0, 1, 1)


@pytest.mark.parametrize(("epoch", "freeze_epochs"), [(0, 0), (3, 0), (1, 1), (4, 3)])
def test_a_thawed_network_trains_whole(epoch: int, freeze_epochs: int) -> None:
    network = create_network(ModelConfig(backbone="resnet10t"), 64)
    freeze(network, 0, freeze_epochs)
    freeze(network.train(), epoch, freeze_epochs)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


def logsumexp(network: ThreeHeadNetwork) -> torch.Tensor:
    return torch.stack([logits.logsumexp(1).sum() for logits in network(random_images()).values()]).sum()


def step(network: ThreeHeadNetwork, optimizer: torch.optim.Optimizer) -> None:
    logsumexp(network).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_frozen_layer_stays_bit_for_bit_through_steps_with_weight_decay(kind: str, epoch: int) -> None:
    network = create_network(ModelConfig(backbone="resnet10t"), 64)
    parameters: Any = [p for p in network.parameters() if p.ndim in (2, 4)]
    optimizer = {"adamw": AdamW, "muon": Muon}[kind](parameters, lr=0.1, weight_decay=0.5)
    step(network, optimizer)  # so the optimizer has momentum, as in a resumed run
    logsumexp(network).backward()  # so there are gradients from before
    freeze(network.train(), epoch, freeze_epochs=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    step(network, optimizer)
    step(network, optimizer)
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    stages = {name.split(".")[1] for name in moved if name.startswith("backbone.")}
    assert stages == (set() if epoch == 0 else {"layer3", "layer4"})
    assert {name for name in network.state_dict() if name.endswith("linear.weight")} <= moved


def test_frozen_batch_norms_use_and_keep_their_running_statistics() -> None:
    network = create_network(ModelConfig(backbone="resnet10t"), 64).train()
    freeze(network, 0, freeze_epochs=2)
    norms = [module for module in network.backbone.modules() if isinstance(module, _BatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.training
    features = network.backbone(torch.randn(2, 1, 64, 64))
    assert all(norm.state_dict()["num_batches_tracked"] == 0 for norm in norms)
    assert not features.requires_grad  # and nothing of it is kept for a backward pass
    freeze(network.train(), 1, freeze_epochs=2)
    training = {name for name, m in network.backbone.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training}
    assert {name.split(".")[0] for name in training} == {"layer3", "layer4"}
