"""A run's networks on test images. It imports no more than Kaggle's image has: the competition's kernel needs it."""

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
from okkhor.models.network import create_network, place_network
from okkhor.models.weights import load_weights, read_graphemes
from okkhor.predictions import Predictions, Probabilities
from okkhor.training.device import Precision
from okkhor.training.loop import join_batches
from okkhor.training.tta import infer_tta


def load_network(weights: Path, model: ModelConfig, size: int, precision: Precision) -> nn.Module:
    graphemes = read_graphemes(weights) if model.graphemes != "none" else None
    network = create_network(replace(model, pretrained=False), size, graphemes)
    load_weights(network, weights)
    return place_network(network, precision.device)


@dataclass(frozen=True)
class Readers:
    """Networks, by name, that read images prepared alike: the folds of a run."""

    networks: Mapping[str, nn.Module]
    data: DataConfig
    batch_size: int
    precision: Precision
    num_views: int

    def read(
        self, images: torch.Tensor, image_ids: NDArray[np.str_], progress: Callable[[int], object]
    ) -> list[Predictions]:
        """A table of each network. images: (N, 1, size, size) uint8. progress: told how many a network has read."""
        tables = []
        for network in self.networks.values():
            batches = told(images.split(self.batch_size), progress)
            tables.append(join_batches(infer_tta(network, batches, self.precision, self.num_views), image_ids))
        return tables


def told(batches: Sequence[torch.Tensor], progress: Callable[[int], object]) -> Iterator[torch.Tensor]:
    for batch in batches:
        yield batch
        progress(len(batch))


def predict_images(readers: Readers, test: TestSet) -> list[Predictions]:
    """Each network's predictions of all test images, which are read once for all of them."""
    return collect((tables for (tables,) in predict_blocks([readers], test, Path(readers.data.cache_dir))), test)


def predict_blocks(members: Sequence[Readers], test: TestSet, scratch: Path) -> Iterator[list[list[Predictions]]]:
    """For each member, a table of each network, of one block of test images after the other, in the shards' order.

    Each block is read once for all members. scratch: where decoded shards lie, 1.6 GB.
    """
    num_images = sum(len(shard.image_ids) for shard in test.shards)
    num_networks = sum(len(member.networks) for member in members)
    label = f"Predicting by {num_networks} networks" if num_networks > 1 else "Predicting"
    with tqdm(total=num_images * num_networks, desc=label, unit="image", disable=None) as bar:
        for image_ids, block in (block for shard in test.shards for block in read_images(shard, scratch)):
            prepare = cache(partial(prepare_images, block))
            yield [
                member.read(
                    torch.from_numpy(prepare(member.data.size, member.data.crop_to_ink)).unsqueeze(1),
                    image_ids,
                    bar.update,
                )
                for member in members
            ]


def collect(blocks: Iterable[Sequence[Predictions]], test: TestSet) -> list[Predictions]:
    """Tables that come a block of test images at a time, each as one; no probabilities stand twice in memory."""
    image_ids = np.concatenate([shard.image_ids for shard in test.shards])
    whole: list[Predictions] = []
    start = 0
    for block in blocks:
        if not whole:
            whole = [make_room(table, image_ids) for table in block]
        for table, part in zip(whole, block, strict=True):
            write_rows(table.probabilities, part.probabilities, start)
            if table.marginals is not None and part.marginals is not None:
                write_rows(table.marginals, part.marginals, start)
        start += len(block[0])
    return whole


def make_room(table: Predictions, image_ids: NDArray[np.str_]) -> Predictions:
    """A table like this one, of other images, whose probabilities are still to be written."""

    def empty(part: Probabilities) -> Probabilities:
        return {name: np.empty((len(image_ids), values.shape[1]), values.dtype) for name, values in part.items()}

    marginals = None if table.marginals is None else empty(table.marginals)
    return Predictions(image_ids, empty(table.probabilities), marginals=marginals)


def write_rows(whole: Probabilities, part: Probabilities, start: int) -> None:
    for name, values in part.items():
        whole[name][start : start + len(values)] = values
