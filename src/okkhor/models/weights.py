"""Weights in .safetensors files: a table of named tensors, which can't run code as a pickle can."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from okkhor.errors import InputError
from okkhor.files import replacing

BACKBONE, HEADS, GRAPHEME_LABELS = "backbone.", "heads.", "grapheme_labels"  # what the names of a network begin with
GRAPHEME_HEAD = "heads.grapheme."
CHECKSUM = "crc32"  # its name in the file's metadata; other people's files have none
NUM_EXAMPLES = 3  # names that a message lists of each kind of difference


def save_weights(network: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a network, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {CHECKSUM: _checksum(tensors)}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network in place with a file of save_weights.

    Raises InputError, and leaves the network as it was, where the file is missing, damaged or of another network.
    """
    tensors = read_weights(path)
    differences = compare(network.state_dict(), tensors)
    if differences:
        raise InputError(
            f"{path}: these are the weights of another network: {differences}.\n"
            "Set model.* as it was when they were trained (config.yaml beside them), or retrain."
        )
    network.load_state_dict(tensors)


def initialise_from(network: nn.Module, path: Path) -> list[str]:
    """Fill a network in place with what fits of another run's weights; returns the names of what keeps its own.

    The backbones must be the same. A tensor of the heads is taken where name and shape agree; the grapheme head only
    where both heads mean the same graphemes, in the same order.
    Raises InputError, and leaves the network as it was, where the file is missing, damaged or of another backbone.
    """
    tensors, own = read_weights(path), network.state_dict()
    differences = compare(*({n: t for n, t in table.items() if n.startswith(BACKBONE)} for table in (own, tensors)))
    if differences:
        pretrained_cfg: Any = network.get_submodule("backbone").pretrained_cfg
        raise InputError(
            f"{path}: these weights are not of the backbone {pretrained_cfg['architecture']}: {differences}.\n"
            "Set model.backbone and data.size as in config.yaml beside them, or model.init_from to another run."
        )
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    labels = fitting.pop(GRAPHEME_LABELS, None)
    if labels is None or not torch.equal(labels, own[GRAPHEME_LABELS].cpu()):
        fitting = {name: tensor for name, tensor in fitting.items() if not name.startswith(GRAPHEME_HEAD)}
    network.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys() - {GRAPHEME_LABELS})


def read_graphemes(path: Path) -> Tensor | None:
    """(G, 3) int64, the labels of the graphemes that a network of save_weights has a head for; None without one."""
    return read_weights(path).get(GRAPHEME_LABELS)


def read_weights(path: Path, own: bool = True) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU. Raises InputError where the file is missing or damaged.

    own: written by save_weights, so that it must have a checksum.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights.")
    try:
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get(CHECKSUM)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        if (own or expected) and expected != _checksum(tensors):
            raise SafetensorError("its checksum differs or is missing")
        return tensors
    except (OSError, SafetensorError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a whole .safetensors file ({reason}). Copy or train it again.") from error


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of names and values: safetensors itself compares none."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


def compare(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """What differs in names and shapes, in a few words; empty where nothing does."""
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    return describe_differences(expected.keys() - tensors.keys(), tensors.keys() - expected.keys(), shapes)


def describe_differences(missing: Iterable[str], unknown: Iterable[str], shapes: Iterable[str]) -> str:
    """The first few names of each kind and how many more; empty where nothing differs."""
    parts = []
    for label, names in (("missing", sorted(missing)), ("not in the network", sorted(unknown)), ("shapes", shapes)):
        names = list(names)
        if names:
            more = f" and {len(names) - NUM_EXAMPLES} more" if len(names) > NUM_EXAMPLES else ""
            parts.append(f"{label}: {', '.join(names[:NUM_EXAMPLES])}{more}")
    return "; ".join(parts)
