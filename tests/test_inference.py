"""Test images from the shards through networks, each shard decoded once for all of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import NUM_TEST, Blocks, assert_same, number_of, paint_blocks, read_number
from torch import nn

from okkhor.config import DataConfig, ModelConfig
from okkhor.data.competition import TestSet as Images
from okkhor.data.shards import Shard
from okkhor.models.network import create_network
from okkhor.pipeline import inference
from okkhor.pipeline.inference import Networks, collect, predict_blocks, predict_test
from okkhor.predictions import concatenate
from okkhor.training.device import Precision

PRECISION = Precision(torch.device("cpu"), torch.float32)
MODEL = ModelConfig(backbone="test_resnet")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards that were decoded, by their names."""
    names: list[str] = []

    def read(shard: Shard, scratch: Path) -> Blocks:
        names.append(shard.path.name)
        yield from paint_blocks(shard, scratch)

    monkeypatch.setattr(inference, "read_images", read)
    return names


def make_networks(
    size: int, batch_size: int, num_networks: int, crop: bool = False, graphemes: Any = "none"
) -> Networks:
    triples = np.array([(0, 0, 0), (2, 1, 0)]) if graphemes != "none" else None
    model = replace(MODEL, graphemes=graphemes)
    networks = {f"fold {k}": create_network(model, size, triples).eval() for k in range(num_networks)}
    return Networks(networks, DataConfig(size=size, crop_to_ink=crop, cache_dir="unused"), batch_size, PRECISION, 1)


def test_members_that_prepare_images_otherwise_are_shown_the_same_shards_decoded_once(
    test_set: Images, decoded: list[str], tmp_path: Path
) -> None:
    members = [make_networks(32, 1, 2), make_networks(48, 3, 1), make_networks(32, 2, 1, True, "linear")]
    blocks = list(predict_blocks(members, test_set, tmp_path))
    assert decoded == [shard.path.name for shard in test_set.shards]
    for number, member in enumerate(members):
        alone = predict_test(member, test_set)
        together = collect(block[number] for block in blocks)
        assert (alone[0].marginals is not None) == (number == 2)
        for fold, (one, other) in enumerate(zip(alone, together, strict=True)):
            assert_same(one, other)
            assert_same(one, concatenate([block[number][fold] for block in blocks]))


class Recording(nn.Module):
    """Remembers what it is shown, then answers as the network does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seen = network, list[int]()

    def forward(self, images: torch.Tensor) -> Any:
        self.seen += [read_number(image[0].numpy()) for image in images]
        return self.network(images)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_image_is_shown_once_in_the_order_of_the_ids(
    test_set: Images, decoded: list[str], batch_size: int
) -> None:
    networks = make_networks(32, batch_size, 1)
    recording = Recording(networks.by_name["fold 0"])
    (table,) = predict_test(replace(networks, by_name={"fold 0": recording}), test_set)
    assert table.image_ids.tolist() == [f"Test_{number}" for number in range(NUM_TEST)]
    assert recording.seen == [number_of(image_id) for image_id in table.image_ids]
    assert decoded
