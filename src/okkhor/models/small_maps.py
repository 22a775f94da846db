"""Convolutions over small feature maps as matrix products, which a CPU computes faster.

At 48 x 48 pixels the last stages of ResNet-34 have maps of 3 x 3 and 2 x 2. oneDNN then takes 6 ms for the gradient of
256 x 256 x 3 x 3 weights and 29 ms for that of 512 x 512 x 3 x 3 (AMX, two cores, a batch of 128), where their products
need 1 and 3; the training step of the network is twice as fast with them (EXPERIMENTS.md).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

LARGEST_MAP = 36  # output positions, up to which the gradient of the weights is a product
LARGEST_TINY_MAP = 4  # output positions, up to which all is: half of the products are with padding, oneDNN's time more
FEWEST_CHANNELS = 128  # with fewer, too little is computed to gain


class SmallMapConvolution(nn.Conv2d):
    """A 3 x 3 convolution with a padding of 1; same weights, same results, another way to compute small ones."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, out_channels, h, w) float."""
        height, width = (-(-side // self.stride[0]) for side in images.shape[2:])
        if height * width > LARGEST_MAP:
            return super().forward(images)
        weight = self.weight
        if torch.is_autocast_enabled(images.device.type):  # it knows torch's own convolution, not these
            dtype = torch.get_autocast_dtype(images.device.type)
            images, weight = images.to(dtype), weight.to(dtype)
        convolution = TinyMapConvolution if height * width <= LARGEST_TINY_MAP else ProductForWeights
        output: Tensor = convolution.apply(images, weight, self.stride[0])
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]


class ProductForWeights(torch.autograd.Function):
    """torch's convolution; the gradient of its weights as one product over all patches of the images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        """(B, C, H, W), (O, C, 3, 3) -> (B, O, h, w), of one dtype."""
        ctx.save_for_backward(images, weight)
        ctx.stride = stride
        return functional.conv2d(images, weight, stride=stride, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = conv2d_input(images.shape, weight, gradient, ctx.stride, padding=1)
        if ctx.needs_input_grad[1]:
            of_weight = multiply_patches(gradient, cut_patches(images, ctx.stride, gradient.shape[2:]))
        return of_images, of_weight, None


class TinyMapConvolution(torch.autograd.Function):
    """The convolution and both of its gradients as products of patches."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        """(B, C, H, W), (O, C, 3, 3) -> (B, O, h, w), of one dtype."""
        height, width = (-(-side // stride) for side in images.shape[2:])
        patches = cut_patches(images, stride, torch.Size((height, width)))
        kernels = weight.permute(0, 2, 3, 1).flatten(1)
        ctx.save_for_backward(patches, kernels)
        ctx.stride, ctx.shape = stride, images.shape
        return (patches @ kernels.T).unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        patches, kernels = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_patches = gradient.permute(0, 2, 3, 1).flatten(0, 2) @ kernels
            of_images = add_patches(of_patches, ctx.stride, gradient.shape[2:], ctx.shape)
        if ctx.needs_input_grad[1]:
            of_weight = multiply_patches(gradient, patches)
        return of_images, of_weight, None


def windows(padded: Tensor, stride: int, size: torch.Size) -> list[Tensor]:
    """Views of (B, H + 2, W + 2, C): for each of the nine places of a kernel what it meets, (B, h, w, C)."""
    rows, columns = ([slice(i, i + stride * side, stride) for i in range(3)] for side in size)
    return [padded[:, row, column] for row in rows for column in columns]


def cut_patches(images: Tensor, stride: int, size: torch.Size) -> Tensor:
    """(B, C, H, W) -> (B * h * w, 9 * C): what a kernel meets at each place of the output, of h x w."""
    padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # channels last: rows copy as they lie
    return torch.cat(windows(padded, stride, size), dim=3).flatten(0, 2)


def add_patches(patches: Tensor, stride: int, size: torch.Size, shape: torch.Size) -> Tensor:
    """(B * h * w, 9 * C) -> (B, C, H, W), which is `shape`: the transpose of cut_patches."""
    batch, channels, height, width = shape
    padded = patches.new_zeros(batch, height + 2, width + 2, channels)
    parts = patches.unflatten(0, (batch, *size)).split(channels, dim=3)
    for window, part in zip(windows(padded, stride, size), parts, strict=True):
        window += part
    return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def multiply_patches(gradient: Tensor, patches: Tensor) -> Tensor:
    """(B, O, h, w), (B * h * w, 9 * C) -> (O, C, 3, 3), the gradient of the weights."""
    of_kernels = gradient.permute(0, 2, 3, 1).flatten(0, 2).T @ patches
    return of_kernels.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2)


def multiply_small_maps(network: nn.Module) -> None:
    """Let the network's wide 3 x 3 convolutions be SmallMapConvolutions; weights and their names stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module) and module.in_channels >= FEWEST_CHANNELS:
            module.__class__ = SmallMapConvolution


def _is_plain(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (3, 3)
        and convolution.padding == (1, 1)
        and convolution.dilation == (1, 1)
        and convolution.stride[0] == convolution.stride[1]
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
    )
