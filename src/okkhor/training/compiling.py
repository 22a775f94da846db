"""torch.compile: kernels fused for this machine; in the mode reduce-overhead a GPU replays them as one graph."""

import torch
from torch import nn
from torch.nn import functional

from okkhor.config import TrainConfig
from okkhor.errors import ConfigError


def compile_in_place(network: nn.Module, mode: str) -> None:
    """Compile at the first batch, unless mode is "none". Copies of the network are not compiled: they are validated."""
    if mode != "none":
        network.compile(mode=mode)


def check_compiler(train: TrainConfig, device: torch.device) -> None:
    """Compile one function now. Raises ConfigError for what training would raise after minutes of preparation."""
    mode = train.compile
    if mode == "none":
        return
    if mode == "reduce-overhead" and train.accumulate > 1:  # its graph overwrites gradients: pytorch issue 169545
        raise ConfigError("train.compile=reduce-overhead needs train.accumulate=1; train.compile=default does not.")
    try:
        torch.compile(functional.gelu, mode=mode)(torch.ones(8, device=device))
    except RuntimeError as error:  # no C++ compiler, no Triton, a GPU that is too old for it
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"train.compile={mode}: torch can't compile here ({reason}). Set train.compile=none."
        ) from None
