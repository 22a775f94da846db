"""The written-out ResNet-34, against timm's own."""

from typing import Any

import pytest
import timm
import torch
from torch import nn


@pytest.mark.parametrize(
    ("training", "options"),
    [(True, {"num_classes": 0, "global_pool": ""}), (False, {"num_classes": 7, "global_pool": "avg"})],
)
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


def test_fresh_weights_keep_the_signal_at_its_size_through_all_layers() -> None:
    for module in timm.create_model("article_plain34", in_chans=1).modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.06)
