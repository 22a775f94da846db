"""A run's networks on test images. It imports no more than Kaggle's image has: the competition's kernel needs it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from okkhor.config import DataConfig, ModelConfig
from okkhor.data.competition import TestSet
from okkhor.data.streaming import stream_images
from okkhor.models.network import create_network, place_network
from okkhor.models.weights import load_weights, read_graphemes
from okkhor.predictions import Predictions
from okkhor.training.loop import join_batches
from okkhor.training.precision import Precision
from okkhor.training.views import infer_views


def load_network(weights: Path, model: ModelConfig, size: int, precision: Precision) -> nn.Module:
    graphemes = read_graphemes(weights) if model.graphemes != "none" else None
    network = create_network(replace(model, pretrained=False), size, graphemes)
    load_weights(network, weights)
    return place_network(network, precision.device)


def predict_images(
    networks: Sequence[nn.Module],
    test: TestSet,
    data: DataConfig,
    batch_size: int,
    precision: Precision,
    num_views: int,
) -> list[Predictions]:
    """Each network's predictions of all test images, which are read once for all of them."""
    image_ids = np.concatenate([shard.image_ids for shard in test.shards])
    parts: list[deque[dict[str, torch.Tensor]]] = [deque() for _ in networks]
    with tqdm(total=len(image_ids), desc="Predicting", unit="image", disable=None) as bar:
        for batch_ids, images in stream_images(test.shards, data, batch_size):
            for network, predicted in zip(networks, parts, strict=True):
                predicted.extend(infer_views(network, [images], precision, num_views))
            bar.update(len(batch_ids))
    return [join_batches(drain(predicted), image_ids) for predicted in parts]


def drain(batches: deque[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    """The batches, each let go of as it is taken, so that tables of the whole test set don't stand twice."""
    while batches:
        yield batches.popleft()
