"""Which images make which batch, and from the cache to the batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.errors import InputError
from okkhor.label_triples import Labels

Batch = tuple[torch.Tensor, torch.Tensor]
"""images (B, 1, H, W) uint8, ink bright on 0; labels (B, K) int64, in the order of HEADS, then the grapheme's."""


@dataclass(frozen=True)
class PlannedBatch:
    """indices: of its images, as CachedImages counts them. epoch, number, process: what its randomness comes from."""

    epoch: int
    number: int
    process: int
    indices: list[int]


class BatchOrder(Protocol):
    """The batches of an epoch. batch_size: none has more images."""

    batch_size: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[PlannedBatch]: ...


class CachedImages:
    """Rows of the cache with their labels, given out as whole batches.

    caches: files of images. rows: (N,) int64, which of all their images, counted on from one file to the next.
    augmentation: None for validation. Its randomness comes from `seed` and the batch's epoch and number, so it depends
    neither on the number of workers nor on where training was interrupted.
    cooldown_from: the epoch from which images are changed less.
    """

    def __init__(
        self,
        caches: Sequence[Path],
        rows: NDArray[np.int64],
        labels: Labels,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        cooldown_from: int | None = None,
    ) -> None:
        self.caches = list(caches)
        self.rows = rows
        self.labels = torch.from_numpy(labels.array)
        self.augmentation = augmentation
        self.seed = seed
        self.cooldown_from = cooldown_from

    @cached_property
    def images(self) -> list[NDArray[np.uint8]]:
        """Opened at first use, in the process that uses it: a mapping is shared, a pickled array would be a copy."""
        return [np.asarray(open_cache(cache)) for cache in self.caches]

    def read(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """rows (B,), to be read into images (B, H, W) uint8."""
        start = 0
        for part in self.images:
            for place in np.flatnonzero((rows >= start) & (rows < start + len(part))):
                images[place] = part[rows[place] - start]
            start += len(part)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) of an image; opens no cache for good."""
        return open_cache(self.caches[0]).shape[1:]

    def load(self, batch: PlannedBatch, images: NDArray[np.uint8] | None = None) -> Batch:
        """The batch; its images in that memory, (B, H, W) uint8, where some is given."""
        if images is None:
            images = np.empty((len(batch.indices), *self.images[0].shape[1:]), np.uint8)
        self.read(self.rows[batch.indices], images)
        if self.augmentation is not None:
            words = np.random.SeedSequence([self.seed, batch.epoch, batch.number, batch.process]).generate_state(1)
            cooldown = self.cooldown_from is not None and batch.epoch >= self.cooldown_from
            self.augmentation(images, int(words[0]), cooldown, into=images)
        return torch.from_numpy(images).unsqueeze(1), self.labels[batch.indices]


class ShuffledBatches:
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


class BatchesInOrder:
    """Every image once, in order."""

    def __init__(self, num_images: int, batch_size: int) -> None:
        self.num_images = num_images
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.num_images // self.batch_size)

    def __iter__(self) -> Iterator[PlannedBatch]:
        for number, start in enumerate(range(0, self.num_images, self.batch_size)):
            indices = list(range(start, min(start + self.batch_size, self.num_images)))
            yield PlannedBatch(0, number, 0, indices)


def validation_part(num_images: int, process: int, num_processes: int) -> NDArray[np.int64]:
    """(n,) int64: the images of one process. All parts, one after the other, are all images, each once."""
    return np.array_split(np.arange(num_images), num_processes)[process]


ROOT = "grapheme_root"


def sampling_weights(scheme: Literal["plain", "balanced", "grapheme"], labels: Labels) -> NDArray[np.float64] | None:
    """(N,) float64, of mean 1; None where each image is to be seen once an epoch.

    balanced: 1 / sqrt(images of its root): a root that is 44 times as frequent as another, the extreme of the
    competition, is drawn 6.6 times as often. Square-root sampling, Mahajan et al. 2018, arXiv:1805.00932.
    grapheme: every label triple as often as every other.
    """
    if scheme == "plain":
        return None
    groups = labels[ROOT] if scheme == "balanced" else labels.triples
    _, group, counts = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
    weights = counts[group.reshape(-1)] ** (-0.5 if scheme == "balanced" else -1.0)
    return np.asarray(weights / weights.mean(), np.float64)
