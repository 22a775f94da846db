"""World: the processes that train one network together, each on its share of every batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from okkhor.processes import was_launched

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """rank: the number of this process; rank 0, the main process, writes and prints. size: the number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def add(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        return [float(value) for value in sums.tolist()]

    def gather(self, value: T) -> list[T]:
        """Return every process's value, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        distributed.all_gather_object(values, value)
        return values

    def agree(self, value: T) -> T:
        """Return the main process's value. All processes wait for it."""
        return self.gather(value)[0]

    def share_buffers(self, network: nn.Module) -> None:
        """Give all processes the main one's batch-norm statistics: they validate the same network."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Average the gradients over the processes. Wrap again after freezing or thawing parameters."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started; any other process is alone."""
    if not was_launched():
        yield World()
        return
    is_gpu = device.type == "cuda"
    wait = timedelta(hours=9)  # the others wait while the main process predicts the test images
    distributed.init_process_group("nccl" if is_gpu else "gloo", timeout=wait, device_id=device if is_gpu else None)
    try:
        yield World(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
