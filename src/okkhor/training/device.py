"""choose_device and choose_precision: where the network computes and in which number format (mixed precision)."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

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


def choose_device(name: str, is_used: bool = True) -> torch.device:
    """Choose by train.device: `auto` is CUDA if there is a GPU (one for each process), else the CPU.

    is_used: whether to try the GPU by one operation. Raises ConfigError for an unknown name, or a GPU that is not there
    or can't compute.
    """
    if was_launched() and name.startswith("cuda:"):
        raise ConfigError(f"train.device={name}: each of several processes has its own GPU. Set cuda, or auto.")
    chosen = ("cuda" if torch.cuda.is_available() or has_gpu() else "cpu") if name == "auto" else name
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", chosen):
        raise ConfigError(f"train.device={name}: expected auto, cpu, cuda or cuda:<number>.")
    if chosen == "cpu":
        return torch.device("cpu")
    from okkhor.training.gpu import check_gpu  # where there is one

    local_rank = int(os.environ["LOCAL_RANK"]) if was_launched() else 0
    device = torch.device("cuda", local_rank) if chosen == "cuda" else torch.device(chosen)
    check_gpu(device, name, is_used)
    return device


def has_gpu() -> bool:
    """Whether this process may use an NVIDIA GPU, which torch can't see if its driver is too old."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1") and any(Path("/dev").glob("nvidia[0-9]*"))


def choose_precision(name: str, device: torch.device, is_training: bool = False) -> Precision:
    """Choose by train.precision: `auto` is bfloat16 if the hardware has it, else float16 on a GPU, float32 on a CPU.

    A CPU without bfloat16 emulates it, ten times as slow as float32. Raises ConfigError for training on such a GPU.
    """
    if device.type == "cuda":
        from okkhor.training.gpu import choose_dtype  # where there is one

        name = choose_dtype(name, is_training)
    elif name == "auto":
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
        name = "bfloat16" if native else "float32"
    return Precision(device, getattr(torch, name))
