"""Convolutions over small feature maps as matrix products, which a CPU computes faster.

At 48 x 48 pixels the last stages of ResNet-34 have maps of 3 x 3 and 2 x 2, for which oneDNN's convolutions are not
made: the training step of the network is up to twice as fast with products (EXPERIMENTS.md). Which products depends on
the type (choose_convolution).
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

Place = tuple[int, int]  # row, column
Row = tuple[int, slice]  # its number, and which of its columns


class WindowConvolution(torch.autograd.Function):
    """A 3 x 3 convolution with a padding of 1 and both of its gradients."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        """(B, C, H, W), (O, C, 3, 3) -> (B, O, h, w), of one dtype."""
        images, weight = channels_last(images), channels_last(weight)
        ctx.save_for_backward(images, weight)
        ctx.stride = stride
        height, width = (-(-side // stride) for side in images.shape[1:3])
        output = images.new_zeros(len(images), height, width, len(weight))
        for place, seen, taps in windows(images.shape[1], images.shape[2], stride):
            output[:, *place].addmm_(flat(images, seen), flat(weight, taps).T)
        return output.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        gradient = channels_last(gradient)
        of_images = torch.zeros_like(images) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for place, seen, taps in windows(images.shape[1], images.shape[2], ctx.stride):
            here = gradient[:, *place]
            if of_images is not None:
                flat(of_images, seen).addmm_(here, flat(weight, taps))
            if of_weight is not None:
                flat(of_weight, taps).addmm_(here.T, flat(images, seen))
        first, second = (None if maps is None else maps.permute(0, 3, 1, 2) for maps in (of_images, of_weight))
        return first, second, None


def windows(height: int, width: int, stride: int) -> Iterator[tuple[Place, Row, Row]]:
    """For each place of the output, row by row of its window: what it sees of the map, and by which taps."""
    for row in range(0, height, stride):
        for column in range(0, width, stride):
            taps = slice(max(0, 1 - column), min(3, width + 1 - column))
            columns = slice(column - 1 + taps.start, column - 1 + taps.stop)
            for tap in range(max(0, 1 - row), min(3, height + 1 - row)):
                yield (row // stride, column // stride), (row - 1 + tap, columns), (tap, taps)


def channels_last(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous; a copy only where they don't lie so already."""
    return maps.permute(0, 2, 3, 1).contiguous()


def flat(maps: Tensor, row: Row) -> Tensor:
    """(N, H, W, C) -> (N, columns * C), a view of part of a row."""
    return maps[:, *row].flatten(1)


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
            of_weight = multiply_patches(images, gradient, ctx.stride)
        return of_images, of_weight, None


def multiply_patches(images: Tensor, gradient: Tensor, stride: int) -> Tensor:
    """(B, C, H, W), (B, O, h, w) -> (O, C, 3, 3), the gradient of the weights."""
    padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # channels last: rows copy as they lie
    rows, columns = ([slice(i, i + stride * side, stride) for i in range(3)] for side in gradient.shape[2:])
    # (B * h * w, 9 * C): what a kernel meets at each place of the output
    patches = torch.cat([padded[:, row, column] for row in rows for column in columns], dim=3).flatten(0, 2)
    of_kernels = gradient.permute(0, 2, 3, 1).flatten(0, 2).T @ patches
    return of_kernels.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2)


FEWEST_CHANNELS = 128  # of the input; with fewer, too little is computed to gain
LARGEST_WINDOWED_MAP = 16  # positions of the output: up to here all is products of windows,
FEWEST_WINDOWED_CHANNELS = {torch.float32: 256, torch.bfloat16: 512}  # if the output has as many channels
LARGEST_MAP = 36  # positions of the output: up to here, in bfloat16, the gradient of the weights is a product

Convolution = type[ProductForWeights | WindowConvolution]


class SmallMapConvolution(nn.Conv2d):
    """A 3 x 3 convolution with a padding of 1; same weights, same results, another way to compute small ones."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float -> (B, out_channels, h, w) float."""
        if torch.compiler.is_exporting():  # to other programs, which know convolutions
            return super().forward(images)
        weight = self.weight
        if torch.is_autocast_enabled(images.device.type):  # it knows torch's own convolution, not these
            dtype = torch.get_autocast_dtype(images.device.type)
            images, weight = images.to(dtype), weight.to(dtype)
        height, width = (-(-side // self.stride[0]) for side in images.shape[2:])
        convolution = choose_convolution(height * width, self.out_channels, images.dtype)
        if convolution is None:
            return super().forward(images)
        output: Tensor = convolution.apply(images, weight, self.stride[0])
        return output if self.bias is None else output + self.bias.to(output.dtype)[:, None, None]


def choose_convolution(positions: int, channels: int, dtype: torch.dtype) -> Convolution | None:
    """The fastest way to an output of so many positions and channels; None: torch's own."""
    if positions <= LARGEST_WINDOWED_MAP and channels >= FEWEST_WINDOWED_CHANNELS.get(dtype, math.inf):
        return WindowConvolution
    return ProductForWeights if dtype == torch.bfloat16 and positions <= LARGEST_MAP else None


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
