"""Mixed precision: which number format, and the loss scaling that float16 needs."""

import re
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from okkhor.config import TrainConfig
from okkhor.errors import ConfigError
from okkhor.training.distributed import local_rank, was_launched

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """device: where the network computes. dtype: of its matrix products; the weights stay float32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def make_scaler(self) -> torch.amp.GradScaler:
        """Small float16 gradients vanish unless the loss is scaled up; the other formats have float32's range."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_device(name: str) -> torch.device:
    """`auto`: CUDA where there is one, each process its own, else the CPU. Raises ConfigError for a missing one."""
    if was_launched() and name.startswith("cuda:"):
        raise ConfigError(f"train.device={name}: each of several processes has a GPU of its own. Set cuda, or auto.")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", chosen):
        raise ConfigError(f"train.device={name}: expected auto, cpu, cuda or cuda:<number>.")
    device = torch.device("cuda", local_rank()) if chosen == "cuda" else torch.device(chosen)
    found = torch.cuda.device_count()
    if device.type == "cuda" and device.index >= found:
        raise ConfigError(f"train.device={name}: can't be used here, torch sees {found} GPUs. Try train.device=auto.")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """`auto`: bfloat16 where the hardware computes in it, float16 on an older GPU, else float32."""
    if name == "auto":
        if device.type == "cuda":
            name = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        else:
            name = "bfloat16" if cpu_has_bfloat16() else "float32"
    return Precision(device, DTYPES[name])


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; emulated, a step takes ten times as long as in float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))


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
