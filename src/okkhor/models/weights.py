"""Weights in .safetensors files: a table of named tensors, which can't run code as a pickle can."""

from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from okkhor.errors import InputError
from okkhor.files import replacing

NUM_EXAMPLES = 3  # names that a message lists of each kind of difference


def save_weights(network: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a network, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network in place with a file of save_weights.

    Raises InputError, and leaves the network as it was, where the file is missing, damaged or of another network.
    """
    tensors = read_weights(path)
    expected = network.state_dict()
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    differences = describe_differences(expected.keys() - tensors.keys(), tensors.keys() - expected.keys(), shapes)
    if differences:
        raise InputError(
            f"{path}: these are the weights of another network: {differences}.\n"
            "Set model.backbone and model.pooling as they were when it was trained (config.yaml beside it), or retrain."
        )
    network.load_state_dict(tensors)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU. Raises InputError where the file is missing or damaged."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights.")
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a whole .safetensors file ({reason}). Copy or train it again.") from error


def describe_differences(missing: Iterable[str], unknown: Iterable[str], shapes: Iterable[str]) -> str:
    """The first few names of each kind and how many more; empty where nothing differs."""
    parts = []
    for label, names in (("missing", sorted(missing)), ("not in the network", sorted(unknown)), ("shapes", shapes)):
        names = list(names)
        if names:
            more = f" and {len(names) - NUM_EXAMPLES} more" if len(names) > NUM_EXAMPLES else ""
            parts.append(f"{label}: {', '.join(names[:NUM_EXAMPLES])}{more}")
    return "; ".join(parts)
