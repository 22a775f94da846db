"""compile_in_place and check_compiler: torch.compile, by train.compile."""

import torch
from torch import nn
from torch.nn import functional

from okkhor.config import TrainConfig
from okkhor.errors import ConfigError


def compile_in_place(network: nn.Module, mode: str) -> None:
    """Compile the network once, at its next batch, unless mode is "none". Copies for validation stay uncompiled."""
    if mode != "none" and network._compiled_call_impl is None:
        network.compile(mode=mode)


def check_compiler(train: TrainConfig, device: torch.device) -> None:
    """Compile one small function. Raises ConfigError now for what training would raise after minutes of preparation."""
    mode = train.compile
    if mode == "none":
        return
    if mode == "reduce-overhead" and train.accumulate > 1:  # its graph overwrites gradients: pytorch issue 169545
        raise ConfigError("train.compile=reduce-overhead needs train.accumulate=1; train.compile=default does not.")
    try:
        torch.compile(functional.gelu, mode=mode)(torch.ones(8, device=device))
    except RuntimeError as error:  # no C++ compiler, no Triton, or a GPU that is too old for it
        why = str(error).partition("\n")[0]
        raise ConfigError(f"train.compile={mode}: torch can't compile here ({why}). Set train.compile=none.") from None
