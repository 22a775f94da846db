"""Matrix products that stand for convolutions over small maps."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from okkhor.config import ModelConfig
from okkhor.models.network import create_network
from okkhor.models.small_convolutions import (
    Convolution,
    ProductForWeights,
    SmallMapConvolution,
    WindowConvolution,
    choose_convolution,
    multiply_small_maps,
    windows,
)


@pytest.mark.parametrize("convolution", [ProductForWeights, WindowConvolution])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (1, 7), (6, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_products_are_torchs_convolution_with_its_gradients(
    convolution: Convolution, layout: torch.memory_format, height: int, width: int, stride: int
) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 8, height, width, dtype=torch.double).to(memory_format=layout)
    weight = torch.randn(16, 8, 3, 3, dtype=torch.double).to(memory_format=layout)
    inputs = [images.requires_grad_(), weight.requires_grad_()]
    outputs = [functional.conv2d(images, weight, stride=stride, padding=1), convolution.apply(*inputs, stride)]
    results = [[output, *torch.autograd.grad(output.square().sum(), inputs)] for output in outputs]
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other)


def test_windows_hold_what_lies_inside_the_map_and_nothing_else() -> None:
    counted = sum(seen[1].stop - seen[1].start for _, seen, _ in windows(3, 3, stride=1))
    assert counted == 49  # of 81: four corners meet 4 places, four edges 6, the middle 9
    for _, (row, columns), (_, taps) in windows(4, 5, stride=2):
        assert 0 <= row < 4
        assert 0 <= columns.start < columns.stop <= 5
        assert columns.stop - columns.start == taps.stop - taps.start


@pytest.mark.parametrize(
    ("positions", "channels", "dtype", "chosen"),
    [
        (4, 512, torch.bfloat16, WindowConvolution),
        (4, 256, torch.bfloat16, ProductForWeights),
        (36, 128, torch.bfloat16, ProductForWeights),
        (49, 128, torch.bfloat16, None),
        (9, 256, torch.float32, WindowConvolution),
        (36, 128, torch.float32, None),
        (9, 128, torch.float32, None),
    ],
)
def test_the_type_decides_which_products(
    positions: int, channels: int, dtype: torch.dtype, chosen: Convolution | None
) -> None:
    assert choose_convolution(positions, channels, dtype) is chosen


@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_of_them_is_torchs_layer(size: int, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 256, 3, padding=1, bias=bias).double()
    fast = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1, bias=bias).double())
    fast[0].load_state_dict(plain.state_dict())
    multiply_small_maps(fast)
    assert type(fast[0]) is SmallMapConvolution
    images = torch.randn(3, 128, size, size, dtype=torch.double)
    outputs = [plain(images), fast(images)]
    assert torch.allclose(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "channels"), [(5, 16), (2, 512), (4, 512)])
def test_under_autocast_gradients_are_those_of_torch_to_the_last_bits_of_bfloat16(size: int, channels: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(128, channels, 3, padding=1, bias=False)
    fast = nn.Sequential(nn.Conv2d(128, channels, 3, padding=1, bias=False))
    fast[0].load_state_dict(plain.state_dict())
    multiply_small_maps(fast)
    images = torch.randn(3, 128, size, size)
    for network in (plain, fast):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(images)
        assert output.dtype == torch.bfloat16
        output.float().square().sum().backward()
    one, other = plain.weight.grad, fast[0].weight.grad
    assert one is not None
    assert isinstance(other, torch.Tensor)
    assert (one - other).abs().max() < 0.02 * one.abs().max()  # bfloat16 has 8 bits


def test_a_frozen_convolution_still_passes_gradients_on() -> None:
    fast = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1)).requires_grad_(False)
    multiply_small_maps(fast)
    for size in (2, 6):
        images = torch.randn(1, 128, size, size, requires_grad=True)
        fast(images).sum().backward()
        assert images.grad is not None
        assert images.grad.any()
    assert fast[0].weight.grad is None


def test_a_network_keeps_its_weights_and_outputs() -> None:
    torch.manual_seed(0)
    network = create_network(ModelConfig(), 48).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts some at 0, which would hide the convolutions before them
    images = torch.randint(0, 256, (2, 1, 48, 48), dtype=torch.uint8)
    names, before = list(network.state_dict()), network(images)
    multiply_small_maps(network)
    assert list(network.state_dict()) == names
    for name, after in network(images).items():
        assert torch.allclose(after, before[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("change", [{"groups": 2}, {"dilation": 2}, {"padding": 0}, {"padding_mode": "reflect"}])
def test_any_other_convolution_is_left_alone(change: dict[str, object]) -> None:
    network = nn.Sequential(nn.Conv2d(128, 128, 3, **({"padding": 1} | change)))  # type: ignore[arg-type]
    multiply_small_maps(network)
    assert type(network[0]) is nn.Conv2d


def test_an_exported_network_has_plain_convolutions() -> None:
    fast = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1)).eval()
    multiply_small_maps(fast)
    program = torch.export.export(fast, (torch.zeros(1, 128, 2, 2),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"]
