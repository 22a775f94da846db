"""The three-head networks on any backbone, and what stays the same when one is made or laid out otherwise."""

import pytest
import torch
from helpers import random_images

from okkhor.config import ModelConfig
from okkhor.models.network import create_network

SMALL = ModelConfig(backbone="resnet10t")


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("article_resnet34", 64),
        ("article_plain34", 64),
        ("mobilenetv3_small_050", 64),  # widens its map after the last block: num_features is not its width
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
    assert all(module.training for module in network.modules())
    logits = network(random_images(size=size))
    assert {name: tuple(values.shape) for name, values in logits.items()} == {
        "grapheme_root": (2, 168),
        "vowel_diacritic": (2, 11),
        "consonant_diacritic": (2, 7),
    }
    first = next(network.backbone.parameters())
    gradients = [torch.autograd.grad(v.logsumexp(1).sum(), first, retain_graph=True)[0] for v in logits.values()]
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)


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
