"""Matrix products that stand for convolutions over small maps, against torch's convolutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from okkhor.config import ModelConfig
from okkhor.models.network import create_network
from okkhor.models.small_convolutions import SmallMapConvolution, WindowConvolution, multiply_small_maps


def make_pair(bias: bool = False) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A plain convolution, and one of the same weights that multiplies."""
    plain, fast = (nn.Conv2d(128, 256, 3, padding=1, bias=bias) for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    multiply_small_maps(fast)
    assert type(fast) is SmallMapConvolution
    return plain, fast


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (1, 7), (6, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_products_are_torchs_convolution_with_its_gradients(
    layout: torch.memory_format, height: int, width: int, stride: int
) -> None:
    images = torch.randn(3, 8, height, width, dtype=torch.double).to(memory_format=layout)
    weight = torch.randn(16, 8, 3, 3, dtype=torch.double).to(memory_format=layout)
    inputs = [images.requires_grad_(), weight.requires_grad_()]
    outputs = [functional.conv2d(images, weight, stride=stride, padding=1), WindowConvolution.apply(*inputs, stride)]
    results = [[output, *torch.autograd.grad(output.square().sum(), inputs)] for output in outputs]
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("size", [3, 4, 5])  # the last has more places than are multiplied
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_is_torchs_layer(size: int, bias: bool) -> None:
    plain, fast = (layer.double() for layer in make_pair(bias))
    images = torch.randn(3, 128, size, size, dtype=torch.double)
    outputs = [plain(images), fast(images)]
    assert torch.allclose(*outputs)
    gradients = [
        torch.autograd.grad(output.square().sum(), list(layer.parameters()))
        for output, layer in zip(outputs, (plain, fast), strict=True)
    ]
    assert all(torch.allclose(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("size", [2, 5])
def test_under_autocast_gradients_are_torchs_to_the_last_bits_of_bfloat16(size: int) -> None:
    plain, fast = make_pair()
    images = torch.randn(3, 128, size, size)
    gradients: list[torch.Tensor] = []
    for layer in (plain, fast):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = layer(images)
        assert output.dtype == torch.bfloat16
        gradients += torch.autograd.grad(output.float().square().sum(), layer.weight)
    one, other = gradients
    assert (one - other).abs().max() < 0.02 * one.abs().max()  # bfloat16 has 8 bits


@pytest.mark.parametrize("size", [2, 6])
def test_a_frozen_convolution_still_passes_gradients_on(size: int) -> None:
    _, fast = make_pair()
    fast.requires_grad_(False)
    images = torch.randn(1, 128, size, size, requires_grad=True)
    (gradient,) = torch.autograd.grad(fast(images).sum(), images)
    assert gradient.any()


def test_a_network_keeps_its_weights_and_outputs() -> None:
    network = create_network(ModelConfig(), 48).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts some at 0, which would hide the convolutions before them
    images = torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8)
    names, before = list(network.state_dict()), network(images)
    multiply_small_maps(network)
    assert sum(type(module) is SmallMapConvolution for module in network.modules()) == 18  # both last stages
    assert list(network.state_dict()) == names
    for name, after in network(images).items():
        assert torch.allclose(after, before[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "change", [{"groups": 2}, {"dilation": 2}, {"padding": 0}, {"padding_mode": "reflect"}, {"stride": (1, 2)}]
)
def test_any_other_convolution_is_left_alone(change: dict[str, object]) -> None:
    network = nn.Conv2d(128, 256, 3, **({"padding": 1} | change))  # type: ignore[arg-type]
    multiply_small_maps(network)
    assert type(network) is nn.Conv2d


def test_an_exported_network_has_plain_convolutions() -> None:
    _, fast = make_pair()
    program = torch.export.export(fast.eval(), (torch.zeros(1, 128, 2, 2),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"]
