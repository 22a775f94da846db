"""The networks, against timm's own and against figures worked out apart from them."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError, InputError
from okkhor.models import residual
from okkhor.models.backbone import create_backbone
from okkhor.models.heads import AveragePooling, GeneralisedMeanPooling
from okkhor.models.network import ThreeHeadNetwork, create_network
from okkhor.models.weights import load_weights, save_weights
from okkhor.schema import HEADS

SMALL = ModelConfig(backbone="resnet10t")


@pytest.fixture(autouse=True)
def _fixed_seed_on_one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def random_images(number: int = 2, size: int = 64, seed: int = 0) -> Tensor:
    """(number, 1, size, size) uint8."""
    return torch.randint(0, 256, (number, 1, size, size), dtype=torch.uint8, generator=torch.manual_seed(seed))


def save(tensors: dict[str, Tensor], path: Path) -> str:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


# ResNet-34 written out


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [{"num_classes": 0, "global_pool": ""}, {"num_classes": 7, "global_pool": "avg"}])
def test_written_out_resnet34_equals_timms_output_for_output(training: bool, options: dict[str, Any]) -> None:
    theirs = timm.create_model("resnet34", in_chans=1, **options)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: no zero scales, no running mean 0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean = torch.randn(module.num_features) / 10
    ours = timm.create_model("article_resnet34", in_chans=1, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 1, 64, 64)
    expected = theirs.train(training)(x)
    assert expected.shape == ((2, 512, 2, 2) if options["num_classes"] == 0 else (2, 7))
    torch.testing.assert_close(ours.train(training)(x), expected)
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer)


def test_written_out_resnet34_has_34_layers_and_the_plain_one_only_lacks_the_projections() -> None:
    article, plain = (timm.create_model(f"article_{name}", in_chans=1) for name in ("resnet34", "plain34"))
    projections = {name for name in article.state_dict() if "downsample" in name}
    assert article.state_dict().keys() - plain.state_dict().keys() == projections
    assert {name.split(".downsample")[0] for name in projections} == {"layer2.0", "layer3.0", "layer4.0"}
    layers = [module for module in plain.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 34


def test_plain34_is_a_chain_of_its_layers() -> None:
    plain = timm.create_model("article_plain34", in_chans=1, num_classes=0, global_pool="").eval()
    x = torch.randn(1, 1, 64, 64)
    expected = x
    for module in plain.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.MaxPool2d):
            expected = module(expected)
        if isinstance(module, nn.BatchNorm2d):
            expected = expected.relu()
    torch.testing.assert_close(plain(x), expected)


def test_a_shortcut_passes_the_gradient_on_where_the_convolutions_pass_none() -> None:
    gradients = {}
    for shortcut in (True, False):
        pair = residual.ConvolutionPair(8, 8, stride=1, shortcut=shortcut)
        nn.init.zeros_(pair.bn2.weight)  # the convolutions contribute nothing
        x = torch.rand(2, 8, 4, 4, requires_grad=True)
        pair(x).sum().backward()
        assert x.grad is not None
        gradients[shortcut] = x.grad
    torch.testing.assert_close(gradients[True], torch.ones(2, 8, 4, 4))
    torch.testing.assert_close(gradients[False], torch.zeros(2, 8, 4, 4))


def test_fresh_weights_keep_the_signal_at_its_size_through_all_layers() -> None:
    for module in timm.create_model("article_plain34", in_chans=1).modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.06)


# Three heads on any backbone


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("resnet10t", 64),
        ("article_resnet34", 64),
        ("article_plain34", 64),
        ("mobilenetv3_small_050", 64),  # widens its map behind the last block: num_features is not its width
        ("efficientnet_b0", 64),
        ("convnext_atto", 64),
        ("vit_tiny_patch16_224", 64),  # tokens (B, L, C)
        ("swin_tiny_patch4_window7_224", 64),  # (B, H, W, C)
        ("coat_lite_tiny", 64),  # refuses to go without its own pooling
        ("resnet10t", 45),
    ],
)
def test_every_family_gives_logits_of_each_head_and_gets_a_gradient_from_each(backbone: str, size: int) -> None:
    network = create_network(ModelConfig(backbone=backbone), size)
    assert network.training
    logits = network(random_images(size=size))
    assert {name: tuple(values.shape) for name, values in logits.items()} == {
        "grapheme_root": (2, 168),
        "vowel_diacritic": (2, 11),
        "consonant_diacritic": (2, 7),
    }
    first = next(network.backbone.parameters())
    gradients = [torch.autograd.grad(v.logsumexp(1).sum(), first, retain_graph=True)[0] for v in logits.values()]
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "mambaout_femto"])  # tokens; (B, H, W, C)
def test_generalised_mean_is_refused_where_there_is_no_map_to_pool(backbone: str) -> None:
    with pytest.raises(ConfigError, match=rf"{backbone} has no feature map .* Set model\.pooling=average"):
        create_network(ModelConfig(backbone=backbone, pooling="gem"), 64)


def test_logits_are_those_of_the_written_formula() -> None:
    network = create_network(SMALL, 64).eval()
    images = random_images()
    features = network.backbone((images.double() / 255 - 0.0692).div(0.2051).float()).mean(dim=(2, 3))
    for name, logits in network(images).items():
        linear = network.get_submodule(f"heads.{name}.linear")
        torch.testing.assert_close(logits, linear(features), rtol=1e-4, atol=1e-5)


def test_images_that_are_normalised_already_are_refused() -> None:
    with pytest.raises(AssertionError, match="uint8"):
        create_network(SMALL, 64)(torch.rand(2, 1, 64, 64))


def test_dropout_stands_before_each_head_and_in_training_only() -> None:
    network = create_network(replace(SMALL, dropout=0.5), 64)
    assert [m.p for m in network.heads.modules() if isinstance(m, nn.Dropout)] == [0.5] * len(HEADS)
    network.eval()
    first, second = network(random_images()), network(random_images())
    assert all(torch.equal(first[head.name], second[head.name]) for head in HEADS)


def test_trying_the_features_leaves_the_batch_norms_as_they_were() -> None:
    network = create_network(SMALL, 64)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.state_dict()["num_batches_tracked"] == 0 for norm in norms)
    assert all(norm.state_dict()["running_mean"].eq(0).all() for norm in norms)


def test_the_same_seed_gives_the_same_network() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(create_network(SMALL, 64).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["backbone.conv1.0.weight"], states[2]["backbone.conv1.0.weight"])


def test_channels_last_reaches_the_features_without_a_copy() -> None:
    network = create_network(SMALL, 64).to(memory_format=torch.channels_last)
    formats: list[bool] = []

    def note_format(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        formats.append(output.is_contiguous(memory_format=torch.channels_last))

    for module in network.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note_format)
    network(random_images())
    assert formats
    assert all(formats)


def test_a_network_can_be_copied_for_a_running_mean_of_its_weights() -> None:
    network = create_network(replace(SMALL, pooling="gem"), 64).eval()
    copied = copy.deepcopy(network)
    torch.testing.assert_close(copied(random_images()), network(random_images()))


# Pooling


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


@pytest.mark.parametrize("pooling", ["average", "gem"])
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


# What a person can mend


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet43", "resnet34"),
        ("article_resnet43", "article_resnet34"),
        ("articel_plain34", "article_plain34"),
        ("../resnet34", "resnet34"),
        ("hf-hub:timm/resnet34", "resnet34"),
        ("resnet34.nobody", "resnet34.a1_in1k"),
    ],
)
def test_an_unknown_backbone_is_answered_with_names_near_it(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.backbone=.*{hint}"):
        create_network(ModelConfig(backbone=name), 64)


def test_a_backbone_that_cannot_read_the_image_size_says_so() -> None:
    with pytest.raises(ConfigError, match=r"vit_tiny_patch16_224 can't read gray images of 8 x 8 pixels"):
        create_network(ModelConfig(backbone="vit_tiny_patch16_224"), 8)


@pytest.mark.parametrize("name", ["article_resnet34", "article_plain34"])
def test_the_written_out_networks_say_that_they_have_no_weights_to_download(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"no weights of {name} to download\.\nSet model\.pretrained=false"):
        create_network(ModelConfig(backbone=name, pretrained=True), 64)


def test_no_network_is_told_in_two_lines_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"weights of resnet10t can't be downloaded") as caught:
        create_network(replace(SMALL, pretrained=True), 64)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "model.pretrained=false" in lines[1]
    assert ".safetensors" in lines[1]
    assert "Hugging Face cache" in lines[1]


# Pretrained weights from a file


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


def test_the_backbone_of_a_trained_run_starts_another(tmp_path: Path) -> None:
    trained = create_network(SMALL, 64)
    save_weights(trained, tmp_path / "model.safetensors")
    network = create_network(replace(SMALL, pretrained=str(tmp_path / "model.safetensors"), pooling="gem"), 96)
    assert_same_state(network.backbone, trained.backbone)
    pretrained_cfg: Any = network.backbone.pretrained_cfg
    assert "state_dict" not in pretrained_cfg


def assert_same_state(network: nn.Module, other: nn.Module) -> None:
    state, expected = network.state_dict(), other.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


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


def test_a_message_about_a_hundred_names_lists_the_first_few(tmp_path: Path) -> None:
    path = save({f"layer{i}.weight": torch.zeros(1) for i in range(100)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="does not fit resnet10t") as caught:
        create_backbone("resnet10t", path, 64)
    assert "layer0.weight" in str(caught.value)
    assert len(str(caught.value)) < 700


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


# Weights of the whole network


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
    network = create_network(SMALL, 64)
    state = network.state_dict() | {"heads.grapheme_root.linear.bias": torch.zeros(169)}
    save(state, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"heads\.grapheme_root\.linear\.bias is \(169,\), expected \(168,\)"):
        load_weights(network, tmp_path / "model.safetensors")


def test_a_truncated_weights_file_is_an_input_error(tmp_path: Path) -> None:
    network = create_network(SMALL, 64)
    path = tmp_path / "model.safetensors"
    save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"not a whole \.safetensors file"):
        load_weights(network, path)
