"""What a person is told about a GPU that torch can't use, and in which format the others compute."""

from pathlib import Path
from typing import Any

import pytest
import torch

from okkhor.errors import ConfigError
from okkhor.kaggle.kernel import choose_kernel_device
from okkhor.processes import was_launched
from okkhor.training.device import choose_device, choose_precision

CUDA = torch.device("cuda", 0)
NO_KERNELS = "CUDA error: no kernel image is available for execution on the device\nCompile with TORCH_USE_CUDA_DSA"
OLD_DRIVER = "The NVIDIA driver on your system is too old (found version 12020)."


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend: card(2, "Tesla P100", (6, 0), "the message of its first operation"). Returns what became current."""

    def pretend(count: int, name: str = "", capability: tuple[int, int] = (0, 0), error: str = "") -> list[object]:
        current: list[object] = []

        def zeros(*_: object, **__: object) -> torch.Tensor:
            if error:
                raise RuntimeError(error)
            return torch.ones(1)

        emulates = capability < (8, 0)
        monkeypatch.setattr(torch, "zeros", zeros)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", current.append)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: not emulates)
        return current

    return pretend


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_card_without_kernels_is_told_with_its_name_and_a_torch_that_fits(card: Any, name: str) -> None:
    card(1, "Tesla P100", (6, 0), NO_KERNELS)
    with pytest.raises(ConfigError, match=rf"train\.device={name}: .*sm_75, sm_80, and Tesla P100 is sm_60.*cu126"):
        choose_device(name)


def test_a_driver_that_is_too_old_is_told_and_no_run_goes_to_the_cpu_in_silence(
    card: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card(0, error=OLD_DRIVER)
    monkeypatch.setattr(Path, "glob", lambda *_: iter([Path("/dev/nvidia0")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(ConfigError, match=r"too old \(found version 12020\).*Or set train\.device=cpu"):
        choose_device("auto")
    assert choose_device("cpu").type == "cpu"
    assert choose_kernel_device().type == "cpu"  # a slow submission, not none
    assert OLD_DRIVER in capsys.readouterr().out
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert choose_device("auto").type == "cpu"


def test_the_card_becomes_the_current_one_and_each_process_needs_its_own(
    card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = card(2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cuda", is_used=False) == CUDA  # by the launcher, which computes nothing
    assert current == [torch.device("cuda", 1)]
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    for module in ("device", "gpu"):  # without its cache
        monkeypatch.setattr(f"okkhor.training.{module}.was_launched", was_launched.__wrapped__)
    with pytest.raises(ConfigError, match=r"no GPU 2 here, torch sees 2\. Start at most 2 processes"):
        choose_device("auto")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_no_card_emulates_bfloat16(card: Any, capability: tuple[int, int], expected: torch.dtype) -> None:
    card(1, "Tesla T4", capability)
    assert choose_precision("auto", CUDA, is_training=True).dtype == expected
    assert choose_precision("bfloat16", CUDA).dtype == expected  # a network that an A100 trained predicts here
    assert choose_precision("float32", CUDA, is_training=True).dtype == torch.float32
    if expected == torch.float16:
        with pytest.raises(ConfigError, match=r"train\.precision=bfloat16: Tesla T4 .*float16, or auto"):
            choose_precision("bfloat16", CUDA, is_training=True)
