"""save_weights and load_weights: a network as a .safetensors file, which can't run code as a pickle can."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from okkhor.errors import InputError, first_line
from okkhor.files import replacing

BACKBONE, HEADS, GRAPHEME_LABELS = "backbone.", "heads.", "grapheme_labels"  # what the names of a network begin with
GRAPHEME_HEAD = "heads.grapheme."
CHECKSUM = "crc32"  # its name in the file's metadata; files of other programs have none
NUM_EXAMPLES = 3  # names that a message lists of each kind of difference


def save_weights(network: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a network, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, {CHECKSUM: _checksum(tensors)}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network in place with a file that save_weights wrote.

    Raises InputError, and changes nothing, if the file is missing, damaged or from another network.
    """
    tensors = read_weights(path)
    differences = describe_differences(network.state_dict(), tensors)
    if differences:
        raise InputError(
            f"{path}: these are the weights of another network: {differences}.\n"
            "Set model.* as in config.yaml beside the file, or train again."
        )
    network.load_state_dict(tensors)


def initialise_from(network: nn.Module, path: Path) -> list[str]:
    """Fill a network in place with the weights of another run, as far as they fit.

    The backbones must be the same. A head's tensor is taken if name and shape agree. The grapheme head is taken only
    if both networks have the same graphemes in the same order.

    Returns the names of the tensors that keep their own values.
    Raises InputError, and changes nothing, if the file is missing, damaged or from another backbone.
    """
    tensors, own = read_weights(path), network.state_dict()
    backbones = [{n: t for n, t in table.items() if n.startswith(BACKBONE)} for table in (own, tensors)]
    differences = describe_differences(*backbones)
    if differences:
        pretrained_cfg: Any = network.get_submodule("backbone").pretrained_cfg
        raise InputError(
            f"{path}: these weights are not of the backbone {pretrained_cfg['architecture']}: {differences}.\n"
            "Set model.backbone and data.size as in config.yaml beside the file, or model.init_from to another run."
        )
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    labels = fitting.pop(GRAPHEME_LABELS, None)
    if labels is None or not torch.equal(labels, own[GRAPHEME_LABELS].cpu()):
        fitting = {name: tensor for name, tensor in fitting.items() if not name.startswith(GRAPHEME_HEAD)}
    network.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys() - {GRAPHEME_LABELS})


def read_weights(path: Path, needs_checksum: bool = True) -> dict[str, Tensor]:
    """Read a file as name -> tensor, on the CPU; GRAPHEME_LABELS: (G, 3) int64, the grapheme head's label triples.

    needs_checksum: the file must be from save_weights; False also accepts a file of another program.
    Raises InputError if the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of weights.")
    try:
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get(CHECKSUM)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        if (needs_checksum or expected) and expected != _checksum(tensors):
            raise SafetensorError("its checksum differs or is missing")
        return tensors
    except (OSError, SafetensorError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a whole .safetensors file ({first_line(error)}). Copy it again.") from error


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of names and values; safetensors itself checks none."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


def describe_differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Name the first few tensors that are missing, unknown or of another shape; "" if all fit."""
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    told = []
    for kind, names in (("missing", missing), ("not in the network", unknown), ("shapes", shapes)):
        if names:
            more = f" and {len(names) - NUM_EXAMPLES} more" if len(names) > NUM_EXAMPLES else ""
            told.append(f"{kind}: {', '.join(names[:NUM_EXAMPLES])}{more}")
    return "; ".join(told)
