"""choose_device and choose_precision: where the network computes and in which number format (mixed precision)."""

import os
import re
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from okkhor.config import TrainConfig
from okkhor.errors import ConfigError
from okkhor.processes import was_launched


@dataclass(frozen=True)
class Precision:
    """The network's device, and the dtype of its matrix products. The weights stay float32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def make_scaler(self) -> torch.amp.GradScaler:
        """Create a loss scaler. float16 needs it: small gradients vanish. The other formats have float32's range."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_device(name: str) -> torch.device:
    """Choose by train.device: `auto` is CUDA if there is a GPU (one for each process), else the CPU.

    Raises ConfigError for an unknown name or a GPU that is not there.
    """
    if was_launched() and name.startswith("cuda:"):
        raise ConfigError(f"train.device={name}: each of several processes has its own GPU. Set cuda, or auto.")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", chosen):
        raise ConfigError(f"train.device={name}: expected auto, cpu, cuda or cuda:<number>.")
    local_rank = int(os.environ["LOCAL_RANK"]) if was_launched() else 0
    device = torch.device("cuda", local_rank) if chosen == "cuda" else torch.device(chosen)
    found = torch.cuda.device_count()
    if device.type == "cuda" and device.index >= found:
        raise ConfigError(f"train.device={name}: can't be used here, torch sees {found} GPUs. Try train.device=auto.")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """Choose by train.precision: `auto` is bfloat16 if the hardware has it, else float16 on a GPU, float32 on a CPU.

    A CPU without bfloat16 emulates it, ten times as slow as float32.
    """
    if name == "auto" and device.type == "cuda":
        name = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    elif name == "auto":
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
        name = "bfloat16" if native else "float32"
    return Precision(device, getattr(torch, name))


def compile_in_place(network: nn.Module, mode: str) -> None:
    """Compile the network at its first batch, unless mode is "none". Its copies for validation stay uncompiled."""
    if mode != "none":
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
