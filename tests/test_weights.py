"""Weights of whole networks: saved, loaded, and taken over by another network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_same_state, random_images
from torch import Tensor

from okkhor.config import ModelConfig
from okkhor.errors import InputError
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.models.weights import GRAPHEME_LABELS, initialise_from, load_weights, read_weights, save_weights

SMALL = ModelConfig(backbone="resnet10t")
GRAPHEMES = torch.tensor([[0, 0, 0], [0, 1, 0], [167, 10, 6], [9, 3, 2]])  # root, vowel, consonant of four graphemes


def network_of(seed: int, triples: Tensor | None = None, **settings: Any) -> ThreeHeadNetwork:
    torch.manual_seed(seed)
    return create_network(replace(SMALL, **settings), 64, triples)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fold0" / "model.safetensors"


def test_saved_weights_come_back_bit_for_bit(path: Path) -> None:
    network = network_of(0, pooling="gem").to(memory_format=torch.channels_last)
    network(random_images())  # moves the running statistics
    save_weights(network, path)
    other = network_of(1, pooling="gem")
    load_weights(other, path)
    assert_same_state(other, network)
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    assert GRAPHEME_LABELS not in read_weights(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet14t"}, r"missing: backbone\.layer1.* more"),
        ({"pooling": "gem"}, r"missing: heads\.consonant_diacritic\.pooling\.exponent"),
        ({"consonant": "parts"}, r"shapes: heads\.consonant_diacritic\.linear\.\w+ is \(7.*, expected \(4"),
    ],
)
def test_unfit_weights_are_told_and_change_nothing(path: Path, settings: dict[str, Any], message: str) -> None:
    save_weights(network_of(0), path)
    network = network_of(7, **settings)
    with pytest.raises(InputError, match=rf"model\.safetensors: these are the weights of another network: .*{message}"):
        load_weights(network, path)
    assert_same_state(network, network_of(7, **settings))


@pytest.mark.parametrize("kind", ["linear", "arcface"])
def test_a_network_with_graphemes_comes_back_from_its_file_alone(path: Path, kind: str) -> None:
    network = network_of(0, GRAPHEMES, graphemes=kind).eval()
    save_weights(network, path)
    graphemes = read_weights(path)[GRAPHEME_LABELS]
    assert torch.equal(graphemes, GRAPHEMES)
    other = network_of(1, graphemes, graphemes=kind).eval()
    load_weights(other, path)
    assert_same_state(other, network)
    expected = network(random_images())
    assert all(torch.equal(logits, expected[name]) for name, logits in other(random_images()).items())


# From one run to another


def test_heads_that_differ_keep_their_random_weights_and_are_named(path: Path) -> None:
    source = network_of(0, consonant="parts")
    save_weights(source, path)
    network, untouched = network_of(1, pooling="gem"), network_of(1, pooling="gem").state_dict()
    left_out = initialise_from(network, path)
    state, expected = network.state_dict(), source.state_dict()
    kept = {name for name in state if name.startswith("heads.consonant") or name.endswith("exponent")}
    assert len(kept) == 5
    assert left_out == sorted(kept)
    assert all(torch.equal(state[name], (untouched if name in kept else expected)[name]) for name in state)


@pytest.mark.parametrize("same", [True, False])
def test_a_grapheme_head_is_taken_over_only_for_the_same_graphemes_in_the_same_order(path: Path, same: bool) -> None:
    source = network_of(0, GRAPHEMES, graphemes="linear")
    save_weights(source, path)
    graphemes = GRAPHEMES if same else GRAPHEMES.flip(0)
    network = network_of(1, graphemes, graphemes="linear")
    left_out = initialise_from(network, path)
    assert left_out == ([] if same else ["heads.grapheme.linear.bias", "heads.grapheme.linear.weight"])
    weights = [one.get_parameter("heads.grapheme.linear.weight") for one in (network, source)]
    assert torch.equal(*weights) is same
    assert torch.equal(network.grapheme_labels, graphemes)


@pytest.mark.parametrize(("kinds", "left_out"), [(("none", "arcface"), 1), (("arcface", "none"), 0)])
def test_a_run_without_graphemes_starts_one_with_them_and_vice_versa(
    path: Path, kinds: tuple[str, str], left_out: int
) -> None:
    source, network = (network_of(seed, GRAPHEMES, graphemes=kind) for seed, kind in enumerate(kinds))
    save_weights(source, path)
    assert initialise_from(network, path) == ["heads.grapheme.linear.weight"] * left_out
    assert_same_state(network.backbone, source.backbone)


@pytest.mark.parametrize(
    ("backbone", "difference"), [("resnet14t", r"missing: backbone\.layer1"), ("article_plain34", "missing")]
)
def test_a_run_of_another_backbone_is_refused_and_changes_nothing(path: Path, backbone: str, difference: str) -> None:
    save_weights(network_of(0), path)
    network = network_of(1, backbone=backbone)
    message = rf"model\.safetensors: these weights are not of the backbone {backbone}: {difference}"
    with pytest.raises(InputError, match=message):
        initialise_from(network, path)
    assert_same_state(network, network_of(1, backbone=backbone))
