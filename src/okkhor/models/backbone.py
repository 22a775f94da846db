"""create_backbone: the part of the network that timm makes, from a gray image to features."""

import difflib
import textwrap
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, is_model, is_model_pretrained
from torch import Tensor, nn

from okkhor.errors import ConfigError, InputError
from okkhor.models import residual  # noqa: F401  # registers article_resnet34 and article_plain34
from okkhor.models.weights import BACKBONE, GRAPHEME_LABELS, HEADS, read_weights

REMEDY = "Set model.pretrained=false, or model.pretrained=<a .safetensors file with the weights of the backbone>"


def create_backbone(name: str, pretrained: bool | str, image_size: int) -> tuple[nn.Module, torch.Size]:
    """Create a backbone for images (B, 1, image_size, image_size) float32.

    Parameters
    ----------
    name : an architecture of timm, with a tag if certain weights are meant (resnet34.a1_in1k).
    pretrained : False: random weights; True: timm's, downloaded; or the path of a .safetensors file.

    Returns the backbone and the shape of one image's features: a map (1, C, h, w), or (1, C) if timm pools tokens.
    Raises ConfigError for an unknown name or an unfit size, InputError for weights that can't be read or downloaded.
    """
    _check_name(name)
    arguments: dict[str, Any] = {"in_chans": 1, "num_classes": 0}
    pretrained_cfg = get_pretrained_cfg(name)
    if pretrained_cfg is not None and pretrained_cfg.fixed_input_size:  # vit, swin: the size is part of the network
        arguments["img_size"] = image_size
    backbone, shape, arguments = _build(name, arguments, image_size)
    if pretrained is True:
        backbone = _download(name, arguments)
    elif pretrained is not False:
        backbone = _read(name, arguments, Path(pretrained), backbone)
    return backbone, shape


def _check_name(name: str) -> None:
    """Raise ConfigError, with the nearest names, for an architecture or a tag that timm doesn't know."""
    architecture, _, tag = name.partition(".")
    if not is_model(name):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=4) or ["resnet34", "article_resnet34"]
        raise ConfigError(f"model.backbone={name}: timm has no such network. Similar names: {', '.join(near)}.")
    names = list(get_arch_pretrained_cfgs(name))
    if tag and name not in names:
        raise ConfigError(f"model.backbone={name}: timm has no such weights. It has: {', '.join(names)}.")


def _build(name: str, arguments: dict[str, Any], image_size: int) -> tuple[nn.Module, torch.Size, dict[str, Any]]:
    """Build the backbone with random weights. Returns it, its features' shape, and timm's arguments for it.

    The first attempt leaves out timm's pooling, since the heads pool. The second leaves pooling to timm: for tokens,
    for NHWC maps, and for networks that refuse to go without.
    """
    reason = ""
    for attempt in (arguments | {"global_pool": ""}, arguments):
        try:
            backbone = timm.create_model(name, **attempt).eval()  # training would change the batch norms' statistics
            with torch.no_grad():
                shape: torch.Size = backbone(torch.zeros(1, 1, image_size, image_size)).shape
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:  # what timm refuses with
            reason = _shorten(error)
            continue
        is_map = len(shape) == 4 and getattr(backbone, "output_fmt", "NCHW") == "NCHW"
        if is_map or len(shape) == 2:
            return backbone.train(), shape, attempt
    raise ConfigError(
        f"model.backbone={name} can't read gray images of {image_size} x {image_size} pixels: {reason}. "
        "Set another data.size, or another model.backbone."
    )


def _download(name: str, arguments: dict[str, Any]) -> nn.Module:
    if not is_model_pretrained(name):
        raise ConfigError(f"model.pretrained=true: there are no weights of {name} to download.\n{REMEDY}.")
    try:
        return timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # the hub, its HTTP client and the file system raise dozens of kinds
        message = f"model.pretrained=true: the weights of {name} can't be downloaded ({_shorten(error)})"
        cache = "or fill the Hugging Face cache (HF_HOME) on a machine with network"
        raise InputError(f"{message}.\n{REMEDY}, {cache}.") from error


def _read(name: str, arguments: dict[str, Any], path: Path, untrained: nn.Module) -> nn.Module:
    """Build the backbone with the weights of a file; timm adapts colour to gray and positions to the image size."""
    if path.suffix != ".safetensors":
        raise InputError(
            f"model.pretrained={path}: expected true, false or a .safetensors file. "
            "Pickles (.pt, .pth, .bin) can run code and are not read."
        )
    tensors = _select_backbone(name, arguments, read_weights(path, needs_checksum=False), untrained)
    if not tensors:  # timm would ignore an empty table and download
        raise InputError(f"model.pretrained={path}: holds no weights of a backbone.")
    # num_classes 0 tells timm that the file has no classifier either; then timm checks all other names strictly
    overlay = {"state_dict": tensors, "num_classes": 0, "label_offset": 0}
    try:
        backbone = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except Exception as error:  # timm's conversions of foreign files raise whatever they meet
        raise InputError(
            f"model.pretrained={path}: does not fit {name}: {_shorten(error)}.\n"
            f"Expected weights with timm's names for {name}, or model.safetensors of a run with this model.backbone."
        ) from error
    pretrained_cfg: Any = backbone.pretrained_cfg
    del pretrained_cfg["state_dict"]  # each copy of the network would carry the tensors along
    return backbone


def _select_backbone(
    name: str, arguments: dict[str, Any], tensors: dict[str, Tensor], untrained: nn.Module
) -> dict[str, Tensor]:
    """Select the backbone's tensors of a timm file (without classifier) or of a run's model.safetensors."""
    if all(key.startswith((BACKBONE, HEADS, GRAPHEME_LABELS)) for key in tensors):
        return {key.removeprefix(BACKBONE): t for key, t in tensors.items() if key.startswith(BACKBONE)}
    sizes = {key: value for key, value in arguments.items() if key not in ("num_classes", "global_pool")}
    with_classifier = timm.create_model(name, **sizes).state_dict().keys()
    classifier = with_classifier - untrained.state_dict().keys()
    return {key: tensor for key, tensor in tensors.items() if key not in classifier}


def _shorten(error: Exception) -> str:
    """Join the first three lines of a message, each cut to 160 characters."""
    lines = [line.strip(" .") for line in (str(error).strip() or type(error).__name__).splitlines()]
    kept = [line for line in lines if line and not line.startswith("Error(s) in loading")]
    return "; ".join(textwrap.shorten(line, 160, placeholder=" ...") for line in kept[:3])
