"""Matrix products that stand for convolutions over small maps."""

import pytest
import torch
from torch import nn

from okkhor.config import ModelConfig
from okkhor.models.network import create_network
from okkhor.models.small_maps import SmallMapConvolution, multiply_small_maps


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (5, 1), (6, 1), (11, 2), (7, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_small_map_is_convolved_as_torch_does_with_the_same_gradients(size: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 16, 3, stride, padding=1, bias=bias).double()
    fast = nn.Sequential(nn.Conv2d(128, 16, 3, stride, padding=1, bias=bias).double())
    fast[0].load_state_dict(plain.state_dict())
    multiply_small_maps(fast)
    assert type(fast[0]) is SmallMapConvolution
    images = torch.randn(3, 128, size, size, dtype=torch.double)
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    outputs = [plain(inputs[0]), fast(inputs[1])]
    assert torch.allclose(*outputs)
    for output in outputs:
        output.square().sum().backward()
    assert torch.allclose(inputs[0].grad, inputs[1].grad)  # type: ignore[arg-type]
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [2, 5])
def test_under_autocast_gradients_are_those_of_torch_to_the_last_bits_of_bfloat16(size: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 16, 3, padding=1, bias=False)
    fast = nn.Sequential(nn.Conv2d(128, 16, 3, padding=1, bias=False))
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
    fast = nn.Sequential(nn.Conv2d(128, 16, 3, padding=1)).requires_grad_(False)
    multiply_small_maps(fast)
    for size in (2, 5):
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
