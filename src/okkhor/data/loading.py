"""From the cache to batches on their way to the network."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.queues import Queue
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.errors import InputError

LONGEST_WAIT = 300  # seconds for a batch of a worker
START = "fork"  # Python 3.14's default has another parent, and threads that take SIGTERM before a worker blocks it

Batch = tuple[torch.Tensor, torch.Tensor]
"""images (B, 1, H, W) uint8, ink bright on 0; labels (B, K) int64, in the order of HEADS, then the grapheme's."""


@dataclass(frozen=True)
class PlannedBatch:
    """What the sampler tells a loader's worker. indices: of the images, as CachedImages counts them."""

    epoch: int
    number: int
    process: int
    indices: list[int]


class CachedImages(Dataset[Batch]):
    """Rows of the cache with their labels, given out as whole batches.

    caches: files of images. rows: (N,) int64, which of all their images, counted on from one file to the next.
    labels: for each head, and the grapheme where that is one, (N,) int64.
    augmentation: None for validation. Its randomness comes from `seed` and the batch's epoch and number, so it depends
    neither on the number of workers nor on where training was interrupted.
    cooldown_from: the epoch from which images are changed less.
    """

    def __init__(
        self,
        caches: Sequence[Path],
        rows: NDArray[np.int64],
        labels: Mapping[str, NDArray[np.int64]],
        augmentation: Augmentation | None = None,
        seed: int = 0,
        cooldown_from: int | None = None,
    ) -> None:
        self.caches = list(caches)
        self.rows = rows
        self.labels = torch.from_numpy(np.stack(list(labels.values()), axis=1))
        self.augmentation = augmentation
        self.seed = seed
        self.cooldown_from = cooldown_from

    @cached_property
    def images(self) -> list[NDArray[np.uint8]]:
        """Opened at first use, in the process that uses it: a mapping is shared, a pickled array would be a copy."""
        return [open_cache(cache) for cache in self.caches]

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B,) -> (B, H, W) uint8."""
        images = np.empty((len(rows), *self.images[0].shape[1:]), np.uint8)
        start = 0
        for part in self.images:
            here = (rows >= start) & (rows < start + len(part))
            images[here] = part[rows[here] - start]
            start += len(part)
        return images

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, batch: PlannedBatch | Sequence[int]) -> Batch:
        """What DataLoader calls with a batch of the sampler: planned for training, plain numbers for validation."""
        indices = batch.indices if isinstance(batch, PlannedBatch) else list(batch)
        images = self.read(self.rows[indices])
        if self.augmentation is not None:
            assert isinstance(batch, PlannedBatch), "augmentation needs the epoch and the number of the batch"
            words = np.random.SeedSequence([self.seed, batch.epoch, batch.number, batch.process]).generate_state(1)
            cooldown = self.cooldown_from is not None and batch.epoch >= self.cooldown_from
            images = self.augmentation(images, int(words[0]), cooldown)
        return torch.from_numpy(images).unsqueeze(1), self.labels[indices]


class ShuffledBatches(Sampler[PlannedBatch]):
    """The batches of one epoch after another, in an order fixed by seed and epoch.

    Every image once an epoch; the last few that fill no batch are left out, others each epoch. With weights (N,) each
    image is drawn, as often as there are images, in proportion to its weight.
    Of several processes each has its part of every batch. Set `epoch`, and `first_batch` to go on in the middle of an
    epoch, before each iteration.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        process: int = 0,
        num_processes: int = 1,
    ) -> None:
        if num_images < num_processes:
            raise InputError(f"{num_images} images to train on are too few for {num_processes} processes.")
        self.num_images = num_images
        self.batch_size = min(batch_size, num_images) // num_processes * num_processes
        self.seed = seed
        self.weights = weights
        self.process = process
        self.num_processes = num_processes
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.num_images // self.batch_size

    def __iter__(self) -> Iterator[PlannedBatch]:
        words = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0]) >> 1)
        if self.weights is None:
            order = torch.randperm(self.num_images, generator=generator)
        else:
            weights = torch.from_numpy(self.weights)
            order = torch.multinomial(weights, self.num_images, replacement=True, generator=generator)
        for number in range(self.first_batch, len(self)):
            batch = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield PlannedBatch(self.epoch, number, self.process, batch[self.process :: self.num_processes].tolist())


def validation_part(num_images: int, process: int, num_processes: int) -> NDArray[np.int64]:
    """(n,) int64: the images of one process. All parts, one after the other, are all images, each once."""
    return np.array_split(np.arange(num_images), num_processes)[process]


def make_training_loader(
    images: CachedImages, order: ShuffledBatches, num_workers: int, pin: bool
) -> DataLoader[Batch]:
    return DataLoader(
        images,
        batch_sampler=order,  # type: ignore[arg-type]  # DataLoader hands a PlannedBatch to CachedImages unread
        collate_fn=_as_it_is,
        num_workers=num_workers,
        multiprocessing_context=START if num_workers else None,
        timeout=LONGEST_WAIT if num_workers else 0,
        worker_init_fn=_prepare_worker,
        pin_memory=pin,
        persistent_workers=num_workers > 0,
    )


def make_validation_loader(images: CachedImages, batch_size: int, num_workers: int, pin: bool) -> DataLoader[Batch]:
    """Every image once, in order."""
    return DataLoader(
        images,
        batch_size,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        multiprocessing_context=START if num_workers else None,
        timeout=LONGEST_WAIT if num_workers else 0,
        worker_init_fn=_prepare_worker,
        pin_memory=pin,
    )


def _as_it_is(batch: Any) -> Any:
    """CachedImages gives whole batches: there is nothing to collate."""
    return batch


def _prepare_worker(_worker: int) -> None:
    """A terminal sends Ctrl-C to all processes, SLURM SIGTERM; only the training process decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_for_parent, daemon=True).start()
    sys.excepthook = _say_nothing_of_lost_connections
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]


def _end_for_parent() -> None:
    """Of SIGTERM, the one that the training process sends at its own end counts."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end_worker(_error: Exception, _batch: object) -> None:
    """Where a batch can't be sent, as with a full /dev/shm: Python prints a traceback, and training waits for it."""
    os._exit(1)


def _say_nothing_of_lost_connections(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Where training has ended, or another worker was killed: the thread that hands over batches would print it."""
    if not issubclass(kind, OSError | EOFError):
        sys.__excepthook__(kind, error, trace)
