"""`predict`: the one inference of the project; `Networks`: a run's networks, ready for it.

Validation, test-time augmentation, test shards, `read`, the demo and Kaggle's kernel all come here. This module imports
nothing that Kaggle's image lacks: the competition's kernel needs it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from okkhor.config import DataConfig, ModelConfig
from okkhor.data.competition import TestSet
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import read_images
from okkhor.files import writable
from okkhor.models.network import create_network, place_network
from okkhor.models.weights import GRAPHEME_LABELS, load_weights, read_weights
from okkhor.predictions import Predictions, concatenate
from okkhor.training.device import Precision
from okkhor.training.loop import Batch, join_batches
from okkhor.training.tta import infer_tta


def predict(
    networks: Sequence[nn.Module],
    batches: Iterable[torch.Tensor | Batch],
    image_ids: NDArray[np.str_],
    precision: Precision,
    num_views: int = 1,
) -> list[Predictions]:
    """Predict images by each network; the batches are read once. Return for each network a table without labels.

    batches: images (B, 1, H, W) uint8, bright ink on 0, or pairs of images and labels, in the order of `image_ids`.
    num_views: 1, or an odd number of views of each image whose mean is taken (test-time augmentation).
    Raises InputError for an image whose probabilities are not finite.
    """
    parts: list[list[dict[str, torch.Tensor]]] = [[] for _ in networks]
    for batch in batches:
        images = batch if isinstance(batch, torch.Tensor) else batch[0]
        for network, own in zip(networks, parts, strict=True):
            own.append(infer_tta(network, images, precision, num_views))
    return [join_batches(own, image_ids) for own in parts]


def load_network(weights: Path, model: ModelConfig, size: int, precision: Precision) -> nn.Module:
    """Create a network for images of size x size pixels, fill it with the weights of a file, put it on the device."""
    graphemes = read_weights(weights).get(GRAPHEME_LABELS) if model.graphemes != "none" else None
    network = create_network(replace(model, pretrained=False), size, graphemes)
    load_weights(network, weights)
    return place_network(network, precision.device)


@dataclass(frozen=True)
class Networks:
    """Networks by name, such as `fold 0`, which take images prepared alike: the folds of a run."""

    by_name: Mapping[str, nn.Module]
    data: DataConfig
    batch_size: int
    precision: Precision
    num_views: int

    def predict(
        self, images: NDArray[np.uint8], image_ids: NDArray[np.str_], progress: Callable[[int], object] = lambda _: None
    ) -> list[Predictions]:
        """Predict prepared images, (N, size, size) uint8. progress: called with the number of predictions made."""

        def batches() -> Iterator[torch.Tensor]:
            for batch in torch.from_numpy(images).unsqueeze(1).split(self.batch_size):
                yield batch
                progress(len(batch) * len(self.by_name))

        return predict(list(self.by_name.values()), batches(), image_ids, self.precision, self.num_views)


def predict_test(networks: Networks, test: TestSet) -> list[Predictions]:
    """Return a table of all test images for each network; the images are read once."""
    return collect(tables for (tables,) in predict_blocks([networks], test, writable(Path(networks.data.cache_dir))))


def predict_blocks(members: Sequence[Networks], test: TestSet, scratch: Path) -> Iterator[list[list[Predictions]]]:
    """Predict one block of test images after the other; yield for each member a table of each network.

    A block is decoded once for all members. scratch: a folder where decoded shards lie, 1.6 GB.
    """
    num_images = sum(len(shard.image_ids) for shard in test.shards)
    num_networks = sum(len(member.by_name) for member in members)
    label = f"Predicting by {num_networks} networks" if num_networks > 1 else "Predicting"
    with tqdm(total=num_images * num_networks, desc=label, unit="image", disable=None) as bar:
        for image_ids, block in (block for shard in test.shards for block in read_images(shard, scratch)):
            prepare = cache(partial(prepare_images, block))
            yield [
                member.predict(prepare(member.data.size, member.data.crop_to_ink), image_ids, bar.update)
                for member in members
            ]


def collect(blocks: Iterable[Sequence[Predictions]]) -> list[Predictions]:
    """Join tables that come a block of test images at a time; only one table at a time stands twice in memory."""
    tables = [list(parts) for parts in zip(*blocks, strict=True)]
    return [concatenate(tables.pop(0)) for _ in range(len(tables))]
