"""Several processes that train one network together, each on its part of every batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """rank: this process's number; size: of how many. The one with rank 0 writes files and prints."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def add(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sums over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        return [float(value) for value in sums.tolist()]

    def gather(self, value: T) -> list[T]:
        """Every process's value, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        distributed.all_gather_object(values, value)
        return values

    def agree(self, value: T) -> T:
        """The main process's value; who comes first waits."""
        return self.gather(value)[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process the main one's batch-norm statistics, so that all validate the same network."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network with its gradients averaged over the processes. Made anew where what is trained changes."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


def was_launched() -> bool:
    """Whether torchrun, or ./run.sh with launch.processes, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int:
    """The number of this process on its machine: of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def join_group(device: torch.device) -> Iterator[Group]:
    """The processes that torchrun has started, or this one alone."""
    if not was_launched():
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else the collectives of all processes would meet on the first GPU
    # the others wait while the main process predicts the test images
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=9))
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
