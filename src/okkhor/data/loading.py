"""`Loader`: the batches of an epoch, from cached images, made in this process or by worker processes."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.errors import InputError
from okkhor.label_triples import Labels
from okkhor.processes import signals_held_back

LONGEST_WAIT = 300  # seconds for a batch of a worker

Batch = tuple[torch.Tensor, torch.Tensor]
"""images (B, 1, H, W) uint8, ink bright on 0; labels (B, K) int64, their columns as those of `Labels`."""


@dataclass(frozen=True)
class PlannedBatch:
    """The images of a batch, and the numbers that its randomness comes from. indices: into CachedImages."""

    epoch: int
    number: int
    rank: int
    indices: list[int]


class Order(Protocol):
    """Which images make which batch; none has more than batch_size."""

    batch_size: int

    def __len__(self) -> int: ...

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[PlannedBatch]: ...


class CachedImages(Dataset[Batch]):
    """Rows of the cache with their labels, given out as whole batches.

    caches: files of images (see data/cache.py). rows: (N,) int64, which of all their images, counted on from one file
    to the next. augmentation: None for validation. Its randomness comes from `seed` and from the batch's epoch, number
    and rank: it depends neither on the number of workers nor on where training was interrupted.
    """

    def __init__(
        self,
        caches: Sequence[Path],
        rows: NDArray[np.int64],
        labels: Labels,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.caches = list(caches)
        self.rows = rows
        self.labels = torch.from_numpy(labels.array)
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened caches to each process: a mapping is shared, a pickled array would be a copy."""
        return {name: value for name, value in vars(self).items() if name != "images"}

    @cached_property
    def images(self) -> list[NDArray[np.uint8]]:
        return [np.asarray(open_cache(cache)) for cache in self.caches]

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) of an image; keeps no cache open."""
        return open_cache(self.caches[0]).shape[1:]

    def read(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """Read rows (B,) into images (B, H, W) uint8."""
        start = 0
        for cache in self.images:
            for place in np.flatnonzero((rows >= start) & (rows < start + len(cache))):
                images[place] = cache[rows[place] - start]
            start += len(cache)

    def __getitem__(self, batch: PlannedBatch) -> Batch:
        labels = self.labels[batch.indices]
        images = torch.empty((len(batch.indices), *self.images[0].shape[1:]), dtype=torch.uint8)
        if get_worker_info() is not None:  # left to the queue's thread, a full /dev/shm would lose the batch
            labels.share_memory_()
            images.share_memory_()
        pixels = images.numpy()
        self.read(self.rows[batch.indices], pixels)
        if self.augmentation is not None:
            words = np.random.SeedSequence([self.seed, batch.epoch, batch.number, batch.rank]).generate_state(1)
            self.augmentation(pixels, int(words[0]), into=pixels)
        return images.unsqueeze(1), labels


class ShuffledBatches:
    """The batches of an epoch, in an order that seed and epoch fix.

    Every image comes once an epoch; the last few that fill no batch are left out, others each epoch. batch_size: images
    of all processes together; each gets an equal share of every batch. weights: (N,) float64; with them N images are
    drawn in proportion to their weights.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if num_images < world_size:
            raise InputError(f"{num_images} images to train on are too few for {world_size} processes.")
        self.num_images = num_images
        self.batch_size = min(batch_size, num_images) // world_size * world_size
        self.seed = seed
        self.weights = weights
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.num_images // self.batch_size

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[PlannedBatch]:
        """Plan the batches of an epoch, from `first_batch` on where training is resumed."""
        words = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0]) >> 1)
        if self.weights is None:
            order = torch.randperm(self.num_images, generator=generator)
        else:
            weights = torch.from_numpy(self.weights)
            order = torch.multinomial(weights, self.num_images, replacement=True, generator=generator)
        for batch in range(first_batch, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield PlannedBatch(number, batch, self.rank, indices[self.rank :: self.world_size].tolist())


class BatchesInOrder:
    """Every image once, in order: for validation."""

    def __init__(self, num_images: int, batch_size: int) -> None:
        self.num_images = num_images
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[PlannedBatch]:
        for batch in range(first_batch, len(self)):
            start = batch * self.batch_size
            yield PlannedBatch(number, batch, 0, list(range(start, min(start + self.batch_size, self.num_images))))


class Loader:
    """The batches of one epoch after another. Use it in `with closing(Loader(...)) as loader`: workers end with it.

    num_workers: processes that make batches; 0: this process makes them. pin: into pinned memory, for a GPU.
    """

    def __init__(self, images: CachedImages, order: Order, num_workers: int = 0, pin: bool = False) -> None:
        self.images = images
        self.order = order
        self.pin = pin
        self.plan = _Plan()
        self.workers: DataLoader[Batch] | None = None
        if num_workers and len(order):
            self.workers = DataLoader(
                images,
                batch_size=None,  # a sample is a whole batch
                sampler=self.plan,
                num_workers=num_workers,
                pin_memory=pin,
                multiprocessing_context="spawn",  # a fork of a process with threads may hang; the renderer spawns too
                timeout=LONGEST_WAIT,
                worker_init_fn=_prepare_worker,
                persistent_workers=True,
            )

    def __len__(self) -> int:
        """The number of batches of a whole epoch."""
        return len(self.order)

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from `first_batch` on where training is resumed."""
        batches = self.order.epoch(number, first_batch)
        if self.workers is not None:
            self.plan.batches = batches
            with signals_held_back(signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # workers inherit that
                made = iter(self.workers)
            yield from made
            return
        for batch in batches:
            images, labels = self.images[batch]
            yield (images.pin_memory(), labels.pin_memory()) if self.pin else (images, labels)

    def close(self) -> None:
        """End the workers."""
        self.workers = None


class _Plan(Sampler[PlannedBatch]):
    """What the workers are to make: the batches of the epoch that was asked for last."""

    batches: Iterator[PlannedBatch] = iter(())

    def __iter__(self) -> Iterator[PlannedBatch]:
        return self.batches


def _prepare_worker(_worker: int) -> None:
    """Heed SIGTERM from the training process alone: a terminal sends Ctrl-C to all processes, SLURM sends SIGTERM."""
    threading.Thread(target=_end_for_parent, daemon=True).start()


def _end_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def sampling_weights(scheme: Literal["plain", "balanced"], labels: Labels) -> NDArray[np.float64] | None:
    """Return (N,) float64 of mean 1, how often an image is drawn; None where each image is seen once an epoch.

    balanced: 1 / sqrt(images of its root): a root that is 44 times as frequent as another, the extreme of the
    competition, is drawn 6.6 times as often. Square-root sampling, Mahajan et al. 2018, arXiv:1805.00932.
    """
    if scheme == "plain":
        return None
    _, root, counts = np.unique(labels["grapheme_root"], return_inverse=True, return_counts=True)
    weights = counts[root] ** -0.5
    return np.asarray(weights / weights.mean(), np.float64)
