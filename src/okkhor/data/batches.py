"""Batches made by worker processes, in memory that they share with the process that trains.

torch's DataLoader hands out the work, watches over the workers and keeps the order. Batches that it sends itself are
files of /dev/shm, whose pages are new to both sides and whose descriptors go through sockets: up to a third of what a
worker does (EXPERIMENTS.md), and a failure where a container has little room there.
"""

import mmap
import os
import signal
import threading
from collections.abc import Iterator
from math import prod
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch.utils.data import DataLoader, Dataset

from okkhor.data.loading import Batch, BatchOrder, CachedImages, PlannedBatch

LONGEST_WAIT = 300  # seconds for a batch of a worker
START = "fork"  # workers share memory by it; Python 3.14's default has another parent, which blocks SIGTERM too late
PREFETCH = 2  # batches for each worker that are ordered before they are needed

Task = tuple[int, PlannedBatch]
"""A slot, and the batch that goes there."""

Put = tuple[int, int]
"""A slot, and how many images are there now."""


class BatchLoader:
    """The batches of `order`, by so many workers, or in this process where there are none.

    pin: into pinned memory, for a GPU.
    keeps_workers: they wait for the next iteration, of which there is one at a time.
    """

    def __init__(
        self, images: CachedImages, order: BatchOrder, num_workers: int, pin: bool, keeps_workers: bool = False
    ) -> None:
        self.images = images
        self.order = order
        self.num_workers = num_workers
        self.pin = pin
        self.keeps_workers = keeps_workers
        self.team: Team | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        for images, labels in self._make():
            yield (images.pin_memory(), labels.pin_memory()) if self.pin else (images, labels)

    def _make(self) -> Iterator[Batch]:
        if not self.num_workers:
            return map(self.images.load, self.order)
        team = self.team or Team(self.images, self.order, self.num_workers)
        self.team = team if self.keeps_workers else None
        return iter(team)


class Team:
    """Worker processes, and the memory that they share with the one that started them."""

    def __init__(self, images: CachedImages, order: BatchOrder, num_workers: int) -> None:
        num_slots = PREFETCH * num_workers + 1  # all that is ordered at a time, and the batch that is taken out
        self.slots = Slots(images, order.batch_size, num_slots)
        self.loader = DataLoader(
            self.slots,
            batch_size=None,
            sampler=Tasks(order, num_slots),
            num_workers=num_workers,
            prefetch_factor=PREFETCH,
            multiprocessing_context=START,
            timeout=LONGEST_WAIT,
            worker_init_fn=_prepare_worker,
            persistent_workers=True,
        )

    def __iter__(self) -> Iterator[Batch]:
        return (self.slots.take(*put) for put in self.loader)


class Tasks:
    """What the workers are to do, one after the other: the slots are filled in turn."""

    def __init__(self, order: BatchOrder, num_slots: int) -> None:
        self.order = order
        self.num_slots = num_slots

    def __iter__(self) -> Iterator[Task]:
        return ((number % self.num_slots, batch) for number, batch in enumerate(self.order))


class Slots(Dataset[Put]):
    """Room for some batches in shared memory: a worker puts one where its task says, and it is taken out there."""

    def __init__(self, source: CachedImages, batch_size: int, num_slots: int) -> None:
        self.source = source
        self.images = share((num_slots, batch_size, *source.shape), np.uint8)
        self.labels = share((num_slots, batch_size, source.labels.shape[1]), np.int64)

    def __getitem__(self, task: Task) -> Put:
        slot, batch = task
        number = len(batch.indices)
        _, labels = self.source.load(batch, self.images[slot, :number])
        self.labels[slot, :number] = labels.numpy()
        return slot, number

    def take(self, slot: int, number: int) -> Batch:
        """A copy, since another batch comes to the slot. By numpy: torch's threads would take the workers' cores."""
        images, labels = self.images[slot, :number].copy(), self.labels[slot, :number].copy()
        return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


def share(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that processes forked later share. They are no file, so that a small /dev/shm has room for them."""
    number = prod(shape)
    memory = mmap.mmap(-1, max(1, number * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, number).reshape(shape)


def _prepare_worker(_worker: int) -> None:
    """A terminal sends Ctrl-C to all processes, SLURM SIGTERM; only the training process decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_for_parent, daemon=True).start()
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]


def _end_for_parent() -> None:
    """Of SIGTERM, the one that the training process sends at its own end counts."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end_worker(_error: Exception, _put: object) -> None:
    """Where nobody reads what it sends any more: Python would print a traceback."""
    os._exit(1)
