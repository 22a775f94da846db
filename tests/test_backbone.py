"""Backbones that can't be had, and pretrained weights from a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from helpers import assert_same_state
from torch import Tensor

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError, InputError
from okkhor.models.backbone import create_backbone
from okkhor.models.network import create_network
from okkhor.models.weights import save_weights

SMALL = ModelConfig(backbone="resnet10t")


def save(tensors: dict[str, Tensor], path: Path) -> str:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("resnet43", False, r"^model\.backbone=.*resnet34"),
        ("article_resnet43", False, r"^model\.backbone=.*article_resnet34"),
        ("hf-hub:timm/resnet34", False, r"^model\.backbone=.*resnet34"),
        ("resnet34.nobody", False, r"^model\.backbone=.*resnet34.a1_in1k"),
        ("vit_tiny_patch16_224", False, r"vit_tiny_patch16_224 can't read gray images of 8 x 8 pixels"),
        ("article_resnet34", True, r"no weights of article_resnet34 to download\.\nSet model\.pretrained=false"),
        ("article_plain34", True, r"no weights of article_plain34 to download\.\nSet model\.pretrained=false"),
    ],
)
def test_a_backbone_that_can_not_be_had_is_refused(name: str, pretrained: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_network(ModelConfig(backbone=name, pretrained=pretrained), 8)


def test_no_network_is_told_in_two_lines_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"weights of resnet10t can't be downloaded") as caught:
        create_network(replace(SMALL, pretrained=True), 64)
    _, remedy = str(caught.value).splitlines()
    assert all(words in remedy for words in ("model.pretrained=false", ".safetensors", "Hugging Face cache"))


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_weights_of_a_colour_backbone_see_a_gray_image_as_it_did(tmp_path: Path, name: str) -> None:
    """A gray image in all three channels of the original gives what the folded network gives for the one."""
    sizes: dict[str, Any] = {"img_size": 64} if name.startswith("vit") else {}
    original: Any = timm.create_model(name, num_classes=10, **sizes).eval()
    backbone: Any = create_backbone(name, save(original.state_dict(), tmp_path / "weights.safetensors"), 64)[0].eval()
    x = torch.randn(2, 1, 64, 64)
    expected = original.forward_features(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(backbone.forward_features(x), expected, rtol=1e-3, atol=1e-4)


def test_timms_resnet34_weights_fill_the_written_out_network(tmp_path: Path) -> None:
    original = timm.create_model("resnet34").state_dict()
    filled = create_backbone("article_resnet34", save(original, tmp_path / "resnet34.safetensors"), 64)[0].state_dict()
    assert filled.keys() == original.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(filled[name], original[name]) for name in filled if name != "conv1.weight")
    torch.testing.assert_close(filled["conv1.weight"], original["conv1.weight"].sum(dim=1, keepdim=True))


def test_position_embeddings_are_resized_to_the_image(tmp_path: Path) -> None:
    original = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    path = save(original, tmp_path / "vit.safetensors")
    filled = create_backbone("vit_tiny_patch16_224", path, 64)[0].state_dict()
    assert original["pos_embed"].shape == (1, 1 + 14 * 14, 192)
    assert filled["pos_embed"].shape == (1, 1 + 4 * 4, 192)


def test_the_backbone_of_a_run_with_other_heads_and_size_starts_another(tmp_path: Path) -> None:
    trained = create_network(replace(SMALL, graphemes="arcface"), 64, torch.tensor([[0, 0, 0], [167, 10, 6]]))
    save_weights(trained, tmp_path / "model.safetensors")
    network = create_network(replace(SMALL, pretrained=str(tmp_path / "model.safetensors"), pooling="gem"), 96)
    assert_same_state(network.backbone, trained.backbone)
    pretrained_cfg: Any = network.backbone.pretrained_cfg
    assert "state_dict" not in pretrained_cfg


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.1.conv1.weight": torch.zeros(1)}, r'Unexpected .*"layer1\.1\.conv1\.weight"'),
        ({"layer1.0.conv1.weight": None}, r'Missing .*"layer1\.0\.conv1\.weight"'),
        ({"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}, r"size mismatch for layer1\.0\.conv1\.weight"),
        ({"conv1.0.weight": torch.zeros(24, 5, 3, 3)}, r"conv1\.0"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    state = timm.create_model("resnet10t").state_dict() | change
    path = save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=rf"w\.safetensors: does not fit resnet10t: .*{message}"):
        create_backbone("resnet10t", path, 64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.safetensors", None, "no such file"),
        ("weights.pth", b"pickle", "expected true, false or a .safetensors file"),
        ("damaged.safetensors", b"not safetensors at all", "not a whole .safetensors file"),
        ("empty.safetensors", safetensors.torch.save({}), "holds no weights"),
        ("", None, "expected true, false or a .safetensors file"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        create_network(replace(SMALL, pretrained=str(path) if name else ""), 64)
