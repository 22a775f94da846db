"""Weights of whole networks: saved, loaded, and carried over to another network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import random_images
from torch import Tensor, nn

from okkhor.config import ModelConfig
from okkhor.errors import InputError
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.models.weights import initialise_from, load_weights, read_graphemes, save_weights

SMALL = ModelConfig(backbone="resnet10t")
GRAPHEMES = torch.tensor([[0, 0, 0], [0, 1, 0], [167, 10, 6], [9, 3, 2]])  # root, vowel, consonant of four graphemes


def assert_same_state(network: nn.Module, other: nn.Module) -> None:
    state, expected = network.state_dict(), other.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def save(tensors: dict[str, Tensor], path: Path) -> str:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


def test_saved_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    network = create_network(replace(SMALL, pooling="gem"), 64).to(memory_format=torch.channels_last)
    network(random_images())  # moves the running statistics
    path = tmp_path / "fold0" / "model.safetensors"
    save_weights(network, path)
    torch.manual_seed(1)
    other = create_network(replace(SMALL, pooling="gem"), 64)
    load_weights(other, path)
    assert_same_state(other, network)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def network_with_seed(model: ModelConfig) -> ThreeHeadNetwork:
    torch.manual_seed(7)
    return create_network(model, 64)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelConfig(backbone="resnet14t"), r"missing: backbone\.layer1"),
        (ModelConfig(backbone="resnet10t", pooling="gem"), r"missing: heads\.consonant_diacritic\.pooling\.exponent"),
    ],
)
def test_unfitting_weights_are_told_and_change_nothing(tmp_path: Path, model: ModelConfig, message: str) -> None:
    save_weights(create_network(SMALL, 64), tmp_path / "model.safetensors")
    network = network_with_seed(model)
    with pytest.raises(InputError, match=rf"model\.safetensors: these are the weights of another network: .*{message}"):
        load_weights(network, tmp_path / "model.safetensors")
    assert_same_state(network, network_with_seed(model))


def test_a_weight_of_another_shape_is_told_with_both_shapes(tmp_path: Path) -> None:
    network, other = create_network(SMALL, 64), create_network(SMALL, 64)
    other.get_submodule("heads.grapheme_root.linear").bias = torch.nn.Parameter(torch.zeros(169))
    save_weights(other, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"heads\.grapheme_root\.linear\.bias is \(169,\), expected \(168,\)"):
        load_weights(network, tmp_path / "model.safetensors")


def test_a_truncated_weights_file_is_an_input_error(tmp_path: Path) -> None:
    network = create_network(SMALL, 64)
    path = tmp_path / "model.safetensors"
    save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"not a whole \.safetensors file"):
        load_weights(network, path)


def network_of(seed: int, triples: Tensor | None = None, **settings: Any) -> ThreeHeadNetwork:
    torch.manual_seed(seed)
    return create_network(replace(SMALL, **settings), 64, triples)


@pytest.mark.parametrize("kind", ["linear", "arcface"])
def test_a_network_with_graphemes_comes_back_from_its_file_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    network = network_of(0, GRAPHEMES, graphemes=kind).eval()
    save_weights(network, path)
    graphemes = read_graphemes(path)
    assert graphemes is not None
    assert graphemes.dtype == torch.int64
    assert torch.equal(graphemes, GRAPHEMES)
    other = network_of(1, graphemes, graphemes=kind).eval()
    load_weights(other, path)
    assert_same_state(other, network)
    expected = network(random_images())
    assert all(torch.equal(logits, expected[name]) for name, logits in other(random_images()).items())


def test_a_network_without_graphemes_has_none_to_read(tmp_path: Path) -> None:
    save_weights(network_of(0), tmp_path / "model.safetensors")
    assert read_graphemes(tmp_path / "model.safetensors") is None


def test_a_fact_of_the_competition_is_not_among_the_weights() -> None:
    assert not [name for name in network_of(0, consonant="parts").state_dict() if "parts" in name]


# From one run to another


@pytest.mark.parametrize("settings", [{}, {"pooling": "sse", "hidden": 16, "consonant": "parts"}])
def test_a_network_of_the_same_settings_is_taken_over_whole(tmp_path: Path, settings: dict[str, Any]) -> None:
    source, network = network_of(0, **settings), network_of(1, **settings)
    source(random_images())  # moves the running statistics
    save_weights(source, tmp_path / "model.safetensors")
    assert initialise_from(network, tmp_path / "model.safetensors") == []
    assert_same_state(network, source)


def test_heads_that_differ_keep_their_random_weights_and_are_named(tmp_path: Path) -> None:
    source = network_of(0, consonant="parts")
    save_weights(source, tmp_path / "model.safetensors")
    network, untouched = network_of(1, pooling="gem"), network_of(1, pooling="gem").state_dict()
    left_out = initialise_from(network, tmp_path / "model.safetensors")
    state, expected = network.state_dict(), source.state_dict()
    kept = {name for name in state if name.startswith("heads.consonant") or name.endswith("exponent")}
    assert len(kept) == 5
    assert left_out == sorted(kept)
    assert all(torch.equal(state[name], (untouched if name in kept else expected)[name]) for name in state)


@pytest.mark.parametrize("same", [True, False])
def test_a_grapheme_head_is_taken_over_only_for_the_same_graphemes_in_the_same_order(
    tmp_path: Path, same: bool
) -> None:
    source = network_of(0, GRAPHEMES, graphemes="linear")
    save_weights(source, tmp_path / "model.safetensors")
    graphemes = GRAPHEMES if same else GRAPHEMES.flip(0)
    network = network_of(1, graphemes, graphemes="linear")
    left_out = initialise_from(network, tmp_path / "model.safetensors")
    assert left_out == ([] if same else ["heads.grapheme.linear.bias", "heads.grapheme.linear.weight"])
    weights = [one.get_parameter("heads.grapheme.linear.weight") for one in (network, source)]
    assert torch.equal(*weights) is same
    assert torch.equal(network.grapheme_labels, graphemes)


def test_a_run_without_graphemes_starts_one_with_them_and_the_other_way_round(tmp_path: Path) -> None:
    without, with_graphemes = network_of(0), network_of(1, GRAPHEMES, graphemes="arcface")
    save_weights(without, tmp_path / "without.safetensors")
    save_weights(with_graphemes, tmp_path / "with.safetensors")
    network = network_of(2, GRAPHEMES, graphemes="arcface")
    assert initialise_from(network, tmp_path / "without.safetensors") == ["heads.grapheme.linear.weight"]
    assert_same_state(network.backbone, without.backbone)
    network = network_of(2)
    assert initialise_from(network, tmp_path / "with.safetensors") == []
    assert_same_state(network.backbone, with_graphemes.backbone)


@pytest.mark.parametrize(
    ("backbone", "difference"), [("resnet14t", r"missing: backbone\.layer1"), ("article_plain34", "missing")]
)
def test_a_run_of_another_backbone_is_refused_and_changes_nothing(
    tmp_path: Path, backbone: str, difference: str
) -> None:
    save_weights(network_of(0), tmp_path / "model.safetensors")
    network = network_of(1, backbone=backbone)
    message = rf"model\.safetensors: these weights are not of the backbone {backbone}: {difference}"
    with pytest.raises(InputError, match=message):
        initialise_from(network, tmp_path / "model.safetensors")
    assert_same_state(network, network_of(1, backbone=backbone))
