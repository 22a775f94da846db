"""Networks as ONNX files, which other programs and languages run without torch."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

IMAGES = "images"
"""The name of the input: (batch, 1, size, size) uint8, bright ink on 0, as data.pixels.prepare_image gives it."""


class Probabilities(nn.Module):
    """A network with the softmax that `infer` adds: images -> for each of names, (B, num_classes) float32."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(images)
        return tuple(logits[name].softmax(dim=1) for name in self.names)


def write_onnx(network: nn.Module, size: int, path: Path) -> None:
    """The network in evaluation, in float32 on the CPU, for any number of images of size x size pixels at once.

    Its outputs are named as the network's, in that order.
    """
    network.eval()
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    batch = torch.export.Dim("batch")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own use of torch
        names = list(network(example))
        # by itself torch.onnx.export would make a file for two images where the network does not take any number
        program = torch.export.export(Probabilities(network, names), (example,), dynamic_shapes=({0: batch},))
        torch.onnx.export(
            program,
            (),
            path,
            input_names=[IMAGES],
            output_names=names,
            dynamic_shapes=({0: "batch"},),  # its name in the file
            external_data=False,
            verbose=False,
        )
