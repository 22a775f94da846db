"""From the cache to batches on their way to the network."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from okkhor.config import DataConfig
from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.data.pixels import prepare_image
from okkhor.data.shards import Shard, read_images
from okkhor.schema import HEAD_NAMES

Batch = tuple[torch.Tensor, torch.Tensor]
"""images (B, 1, H, W) uint8, ink bright on 0; labels (B, 3) int64, in the order of HEADS."""


class CachedImages(Dataset[Batch]):
    """Rows of the cache with their labels, given out as whole batches.

    rows: (N,) int64, rows of the cache. labels: for each head, (N,) int64.
    augmentation: None for validation. Its randomness comes from `seed` and the numbers of the batch's images, so it
    depends neither on the number of workers nor on where training was interrupted.
    """

    def __init__(
        self,
        cache: Path,
        rows: NDArray[np.int64],
        labels: Mapping[str, NDArray[np.int64]],
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.cache = cache
        self.rows = rows
        self.labels = torch.from_numpy(np.stack([labels[name] for name in HEAD_NAMES], axis=1))
        self.augmentation = augmentation
        self.seed = seed

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """Opened at first use, in the process that uses it: a mapping is shared, a pickled array would be a copy."""
        return open_cache(self.cache)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """What DataLoader calls with the numbers of a batch."""
        images = self.images[self.rows[indices]]
        if self.augmentation is not None:
            words = np.random.SeedSequence([self.seed, *indices]).generate_state(1)
            images = self.augmentation(images, int(words[0]))
        return torch.from_numpy(images).unsqueeze(1), self.labels[indices]


class ShuffledBatches(Sampler[list[int]]):
    """The batches of one epoch after another, in an order fixed by seed and epoch.

    Every image once an epoch; the last few that fill no batch are left out, others each epoch.
    Set `epoch`, and `first_batch` to go on in the middle of an epoch, before each iteration.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        self.num_images = num_images
        self.batch_size = min(batch_size, num_images)
        self.seed = seed
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.num_images // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        words = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        order = torch.randperm(self.num_images, generator=torch.Generator().manual_seed(int(words[0]) >> 1))
        for batch in range(self.first_batch, len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()


def make_training_loader(
    images: CachedImages, order: ShuffledBatches, num_workers: int, pin: bool
) -> DataLoader[Batch]:
    return DataLoader(
        images,
        batch_sampler=order,
        collate_fn=_as_it_is,
        num_workers=num_workers,
        worker_init_fn=_leave_signals_to_training,
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
        worker_init_fn=_leave_signals_to_training,
        pin_memory=pin,
    )


def _as_it_is(batch: Any) -> Any:
    """CachedImages gives whole batches: there is nothing to collate."""
    return batch


def _leave_signals_to_training(_worker: int) -> None:
    """A terminal sends Ctrl-C to all processes; only the training process decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def stream_images(
    shards: Sequence[Shard], data: DataConfig, batch_size: int
) -> Iterator[tuple[NDArray[np.str_], torch.Tensor]]:
    """Test images in the order of the shards: image_ids (B,) str and images (B, 1, size, size) uint8.

    Nothing is kept: memory does not grow with the number of images.
    """
    for shard in shards:
        for image_ids, block in read_images(shard, Path(data.cache_dir)):
            for start in range(0, len(block), batch_size):
                part = slice(start, start + batch_size)
                images = np.stack([prepare_image(image, data.size, data.crop_to_ink) for image in block[part]])
                yield image_ids[part], torch.from_numpy(images).unsqueeze(1)
