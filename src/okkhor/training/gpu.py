"""check_gpu and choose_dtype: whether torch can compute on a GPU, and in which number format."""

import torch

from okkhor.errors import ConfigError, first_line
from okkhor.processes import was_launched

OLDER_CARDS = "the wheels for CUDA 12.6 (cu126)"
"""PyPI's torch 2.14 begins with sm_75 (T4). The wheels for CUDA 12.6 have kernels for P100 (sm_60) and V100 (sm_70)."""


def check_gpu(device: torch.device, name: str, is_used: bool) -> None:
    """Try one operation on a GPU and make it the current one, which bench, is_bf16_supported and pinning ask.

    name: of train.device. is_used: False counts the GPUs only; a first operation takes hundreds of MB of its memory.
    Raises ConfigError where it is not there, its driver is too old, or torch has no kernels for it.
    """
    found = torch.cuda.device_count()
    if 0 < found <= device.index:
        remedy = f"Start at most {found} processes." if was_launched() else "Try train.device=auto."
        raise ConfigError(f"train.device={name}: there is no GPU {device.index} here, torch sees {found}. {remedy}")
    if found and not is_used:
        return
    try:
        torch.cuda.set_device(device)
        torch.zeros(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError) as error:  # an assertion: this torch is built without CUDA
        raise ConfigError(f"train.device={name}: {_explain(device, error)} Or set train.device=cpu.") from None


def _explain(device: torch.device, error: Exception) -> str:
    version = f"torch {torch.__version__}"
    if "no kernel image" in str(error):
        card, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        return (
            f"{version} has kernels for {', '.join(torch.cuda.get_arch_list())}, and {card} is sm_{major}{minor}. "
            f"Install a torch that fits: {OLDER_CARDS}."
        )
    return (
        f"{version} can't compute on GPU {device.index}: {first_line(error)} Does the driver fit this torch, and has "
        "another program filled the GPU (nvidia-smi)?"
    )


def choose_dtype(name: str, is_training: bool) -> str:
    """Choose by train.precision for the current GPU: `auto` is bfloat16 if it computes in it, else float16.

    From compute capability 8 (A100) on it does; older ones emulate it, many times slower. A network that was trained in
    bfloat16 predicts in float16 there. Raises ConfigError where it is to train in bfloat16.
    """
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "bfloat16" and is_training and not has_bfloat16:
        raise ConfigError(
            f"train.precision=bfloat16: {torch.cuda.get_device_name()} has no bfloat16 and would emulate it, many "
            "times slower. Set train.precision=float16, or auto."
        )
    if name in ("auto", "bfloat16"):
        return "bfloat16" if has_bfloat16 else "float16"
    return name
