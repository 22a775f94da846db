"""Several processes train one network: what they see, what they agree on, and what they end with."""

import os
import socket
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from okkhor.processes import usable_workers, was_launched
from okkhor.training.distributed import join_world

USES_AGENT = "TORCHELASTIC_USE_AGENT_STORE"
CPU = torch.device("cpu")


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator), torch.randn(8, 1, generator=generator)


def _train(rank: int, port: int, folder: Path) -> None:
    """One of two processes. What it asserts fails the test."""
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with join_world(CPU) as world:
        assert world.add([1.0, world.rank], CPU) == [2.0, 1.0]
        assert world.gather(world.rank) == [0, 1]
        assert world.agree(world.rank + 5) == 5

        norm = nn.BatchNorm1d(3)
        norm.running_mean = torch.full((3,), float(world.rank + 1))
        world.share_buffers(norm)
        assert norm.running_mean.tolist() == [1.0, 1.0, 1.0]

        torch.manual_seed(world.rank)  # each starts with other weights: wrap gives all the main process's
        network = nn.Linear(5, 1)
        wrapped = world.wrap(network, CPU)
        inputs, targets = make_batch()
        own = slice(world.rank, None, world.size)
        nn.functional.mse_loss(wrapped(inputs[own]), targets[own]).backward()
        torch.save(network.weight.grad, folder / f"{world.rank}.pt")


def test_two_processes_agree_and_their_gradient_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    spawn(_train, (port, tmp_path), nprocs=2)
    torch.manual_seed(0)
    network = nn.Linear(5, 1)
    inputs, targets = make_batch()
    nn.functional.mse_loss(network(inputs), targets).backward()
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), network.weight.grad)


def test_the_workers_of_all_processes_together_are_at_most_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert [usable_workers(wanted) for wanted in (0, 3, 8)] == [0, 3, 4]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [usable_workers(wanted) for wanted in (0, 3, 8)] == [0, 2, 2]


def test_one_process_alone_is_a_world_too() -> None:
    with join_world(CPU) as world:
        assert world.is_main
        assert world.add([3.0], CPU) == [3.0]
        assert world.gather("a") == ["a"]
        assert world.wrap(network := nn.Linear(1, 1), CPU) is network


@pytest.mark.parametrize(
    "left",
    [
        {"RANK": "1"},
        {"RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"},
        {"RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", USES_AGENT: "True"},
    ],
)
def test_variables_that_another_launcher_left_over_make_no_world(
    left: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm's, or those of a torchrun that has ended: a plain start waited for a group that wasn't there."""
    for name, value in (left | {"WORLD_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)
    assert not was_launched.__wrapped__()
    if USES_AGENT in left:
        with socket.create_server(("127.0.0.1", 0)) as agent:
            monkeypatch.setenv("MASTER_PORT", str(agent.getsockname()[1]))
            assert was_launched.__wrapped__()
