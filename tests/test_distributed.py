"""Several processes train one network: what they see, what they agree on, and what they end with."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from okkhor.data.loading import ShuffledBatches, validation_part
from okkhor.training.distributed import Group, join_group

CPU = torch.device("cpu")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(rank: int, size: int, port: int, task: Callable[[Group, Path], None], folder: Path) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with join_group(CPU) as group:
        task(group, folder)


def run_processes(task: Callable[[Group, Path], None], folder: Path, size: int = 2) -> None:
    spawn(_run, (size, free_port(), task, folder), nprocs=size)


def _agree(group: Group, _folder: Path) -> None:
    assert group.add([1.0, group.rank], CPU) == [2.0, 1.0]
    assert group.gather(group.rank) == [0, 1]
    assert group.agree(group.rank + 5) == 5


def test_processes_add_gather_and_agree(tmp_path: Path) -> None:
    run_processes(_agree, tmp_path)


def test_one_process_alone_is_a_group_too() -> None:
    with join_group(CPU) as group:
        assert group.add([3.0], CPU) == [3.0]
        assert group.gather("a") == ["a"]
        assert group.wrap(network := nn.Linear(1, 1), CPU) is network


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator), torch.randn(8, 1, generator=generator)


def _step(group: Group, folder: Path) -> None:
    torch.manual_seed(group.rank)  # each begins elsewhere: wrap gives all the main process's weights
    network = nn.Linear(5, 1)
    wrapped = group.wrap(network, CPU)
    inputs, targets = make_batch()
    part = slice(group.rank, None, group.size)
    nn.functional.mse_loss(wrapped(inputs[part]), targets[part]).backward()
    assert network.weight.grad is not None
    torch.save(network.weight.grad, folder / f"{group.rank}.pt")


def test_the_gradient_of_two_processes_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    run_processes(_step, tmp_path)
    torch.manual_seed(0)
    network = nn.Linear(5, 1)
    inputs, targets = make_batch()
    nn.functional.mse_loss(network(inputs), targets).backward()
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), network.weight.grad)


def _share(group: Group, _folder: Path) -> None:
    norm = nn.BatchNorm1d(3)
    norm.running_mean = torch.full((3,), float(group.rank + 1))
    group.share_buffers(norm)
    assert norm.running_mean.tolist() == [1.0, 1.0, 1.0]


def test_all_validate_with_the_batch_norm_of_the_main_process(tmp_path: Path) -> None:
    run_processes(_share, tmp_path)


@pytest.mark.parametrize("size", [2, 3])
def test_the_parts_of_a_batch_are_the_batch(size: int) -> None:
    whole = ShuffledBatches(60, 12, seed=3)
    parts = [ShuffledBatches(60, 12, seed=3, process=process, num_processes=size) for process in range(size)]
    for epoch in range(2):
        for sampler in (whole, *parts):
            sampler.epoch = epoch
        for batch, *shares in zip(whole, *parts, strict=True):
            assert sorted(batch.indices) == sorted(index for share in shares for index in share.indices)
            assert {len(share.indices) for share in shares} == {12 // size}


@pytest.mark.parametrize(("num_images", "size"), [(10, 3), (2, 3), (0, 2), (7, 1), (64, 4)])
def test_each_validation_image_is_in_one_part(num_images: int, size: int) -> None:
    parts = [validation_part(num_images, process, size) for process in range(size)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(num_images))
