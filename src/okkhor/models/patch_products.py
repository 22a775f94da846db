"""The gradient of a convolution's weights as a product of patches: what the kernel meets at each place of the output.

For bfloat16, where a CPU has it in hardware: two cores with AMX, a batch of 128 and maps of 3 x 3 take 6 ms for the
gradient of 256 x 256 x 3 x 3 weights in oneDNN and 1 in one product (EXPERIMENTS.md).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input


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


def cut_patches(images: Tensor, stride: int, size: torch.Size) -> Tensor:
    """(B, C, H, W) -> (B * h * w, 9 * C): what a kernel meets at each place of the output, of h x w."""
    padded = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # channels last: rows copy as they lie
    rows, columns = ([slice(i, i + stride * side, stride) for i in range(3)] for side in size)
    return torch.cat([padded[:, row, column] for row in rows for column in columns], dim=3).flatten(0, 2)


def multiply_patches(gradient: Tensor, patches: Tensor) -> Tensor:
    """(B, O, h, w), (B * h * w, 9 * C) -> (O, C, 3, 3), the gradient of the weights."""
    of_kernels = gradient.permute(0, 2, 3, 1).flatten(0, 2).T @ patches
    return of_kernels.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2)
