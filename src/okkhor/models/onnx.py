"""write_onnx: a network as an ONNX file, which other programs run without torch."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

IMAGES = "images"
"""The name of the input: (batch, 1, size, size) uint8, bright ink on 0, as data.pixels.prepare_image gives it."""


class Probabilities(nn.Module):
    """A network followed by softmax: images -> for each of `names`, in order, (B, num_classes) float32."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(images)
        return tuple(logits[name].softmax(dim=1) for name in self.names)


def write_onnx(network: nn.Module, size: int, path: Path) -> None:
    """Write the network in evaluation mode, float32, on the CPU, for batches of any length of size x size pixels.

    The outputs have the names of the network's logits, in the same order.
    """
    network.eval()
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    batch = torch.export.Dim("batch")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own use of torch
        names = list(network(example))
        # torch.onnx.export alone silently makes a file for two images when a batch can't have any length
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
