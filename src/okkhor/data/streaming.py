"""Test images from the shards to batches, without a cache: what the competition's kernel needs of this package."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from okkhor.config import DataConfig
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import Shard, read_images


def stream_images(
    shards: Sequence[Shard], data: DataConfig, batch_size: int
) -> Iterator[tuple[NDArray[np.str_], torch.Tensor]]:
    """Test images in the order of the shards: image_ids (B,) str and images (B, 1, size, size) uint8.

    Nothing is kept: memory does not grow with the number of images.
    """
    for shard in shards:
        for image_ids, block in read_images(shard, Path(data.cache_dir)):
            images = torch.from_numpy(prepare_images(block, data.size, data.crop_to_ink)).unsqueeze(1)
            for start in range(0, len(block), batch_size):
                part = slice(start, start + batch_size)
                yield image_ids[part], images[part]
