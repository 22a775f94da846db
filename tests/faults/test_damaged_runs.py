"""A run's damaged files are refused by name, made again, or read as they were written; never taken for whole."""

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from damage import BYTE_DAMAGE
from helpers import assert_same, make_predictions, random_images
from hypothesis import given
from hypothesis import strategies as st
from tries import Mutation, check_error, property_settings, record

from okkhor.config import DataConfig, FoldsConfig, ModelConfig
from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.data import cache as cache_module
from okkhor.data.cache import build_cache, open_cache
from okkhor.data.competition import TrainSet
from okkhor.data.folds import read_folds
from okkhor.data.shards import open_shard, read_images
from okkhor.errors import InputError
from okkhor.label_triples import TripleCounts, read_triples, write_triples
from okkhor.models.network import create_network
from okkhor.models.weights import read_weights, save_weights
from okkhor.predictions import read_predictions, write_predictions
from okkhor.rendering import sample as sample_module
from okkhor.rendering.sample import sample_matches, settings_text
from okkhor.scoring.decoding import decode
from okkhor.training.checkpoint import Progress, load_state, save_state

DAMAGE = st.sampled_from(BYTE_DAMAGE)
RANDOM = st.integers(0, 2**32).map(Random)


def damaged(path: Path, content: bytes, mutation: Mutation, random: Random) -> bool:
    """Write the content changed; whether it is changed at all."""
    changed = mutation(content, random)
    path.write_bytes(changed)
    return changed != content


def outcome_of(kind: str, path: Path, read: Callable[[], None]) -> None:
    """Reads, which checks what it finds, or is refused by the file's name."""
    try:
        read()
    except InputError as error:
        record(kind, "refused")
        check_error(error)
        named = path.name in str(error)
    else:
        record(kind, "read as written")
        named = True
    assert named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(100, 5000)
def test_damaged_predictions(folder: Path, mutation: Mutation, random: Random) -> None:
    path, table = folder / "oof.parquet", make_predictions([f"Train_{number}" for number in range(30)])
    write_predictions(table, decode(table.probabilities), path)
    damaged(path, path.read_bytes(), mutation, random)
    outcome_of("oof.parquet", path, lambda: assert_same(read_predictions(path), table))


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(30, 3000)
def test_damaged_weights(folder: Path, mutation: Mutation, random: Random) -> None:
    path, network = folder / "model.safetensors", torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.BatchNorm1d(20))
    save_weights(network, path)
    damaged(path, path.read_bytes(), mutation, random)

    def read() -> None:
        tensors = read_weights(path)
        assert tensors.keys() == network.state_dict().keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in network.state_dict().items())

    outcome_of("model.safetensors", path, read)


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(60, 3000)
def test_a_damaged_state(folder: Path, mutation: Mutation, random: Random) -> None:
    path, network = folder / "state.pt", torch.nn.Linear(20, 20)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parts = {"network": network, "optimizer": torch.optim.AdamW(network.parameters())}
    save_state(path, Progress(epoch=3, best_score=0.5), parts)
    damaged(path, path.read_bytes(), mutation, random)

    def read() -> None:
        assert load_state(path, parts) == Progress(epoch=3, best_score=0.5)
        assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())

    outcome_of("state.pt", path, read)


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(60, 3000)
def test_damaged_graphemes(folder: Path, mutation: Mutation, random: Random) -> None:
    path, graphemes = folder / "graphemes.csv", TripleCounts(np.array([[1, 2, 3], [4, 5, 6]]), np.array([7, 8]))
    write_triples(graphemes, path)
    damaged(path, path.read_bytes(), mutation, random)

    def read() -> None:
        found = read_triples(path)
        rows = [row.split(",") for row in path.read_text().split("\n") if row.strip()][1:]
        assert np.column_stack([found.triples, found.images]).tolist() == [[int(cell) for cell in row] for row in rows]

    outcome_of("graphemes.csv", path, read)


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(60, 3000)
def test_damaged_folds(folder: Path, mutation: Mutation, random: Random) -> None:
    path = folder / "small.csv"
    table = pd.DataFrame({"image_id": [f"Train_{number}" for number in range(20)], "fold": np.arange(20) % 4})
    table.to_csv(path, index=False)
    damaged(path, path.read_bytes(), mutation, random)

    def read() -> None:
        found = read_folds(path, table, FoldsConfig(num_folds=4)).numbers
        written = dict(re.findall(r"(Train_\d+),(\d+)", path.read_text().replace('"', "")))
        assert found.tolist() == [int(written[image_id]) for image_id in table["image_id"]]

    outcome_of("folds csv", path, read)


@given(mutation=DAMAGE, random=RANDOM, name=st.sampled_from(["images.npy", "images.npy", "images.crc32"]))
@property_settings(30, 1000)
def test_a_damaged_cache_is_built_again(
    small_cache: Path, train_set: TrainSet, folder: Path, name: str, mutation: Mutation, random: Random
) -> None:
    whole = open_cache(small_cache).copy()
    rows = {image_id: row for row, image_id in enumerate(train_set.table["image_id"])}
    settings = DataConfig(root="input/small", size=len(whole[0]), cache_dir=str(folder / "cache"))

    def write(path: Path, *_: object) -> None:
        np.save(path, whole)

    assert len(rows) == len(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "_write_images", write)
        path = build_cache(train_set, settings).with_name(name)
        changed = damaged(path, path.read_bytes(), mutation, random)
        np.testing.assert_array_equal(open_cache(build_cache(train_set, settings)), whole)
    record("cache", "built again" if changed else "read as written")


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(40, 1000)
def test_a_damaged_sample_json_is_another_sample(folder: Path, mutation: Mutation, random: Random) -> None:
    sample, path = SampleConfig(root=str(folder)), folder / sample_module.SETTINGS_FILE
    content = settings_text(sample, HandConfig()).encode()
    changed = damaged(path, content, mutation, random)
    assert sample_matches(sample, HandConfig()) == (not changed)
    record("sample.json", "refused" if changed else "read as written")


@given(mutation=DAMAGE, random=RANDOM)
@property_settings(8, 200)
def test_a_damaged_shard(competition: Path, folder: Path, mutation: Mutation, random: Random) -> None:
    """Kaggle's files have no checksums: a changed pixel is then what the file holds. The ids are checked elsewhere."""
    path = folder / "train_image_data_0.parquet"
    damaged(path, (competition / path.name).read_bytes(), mutation, random)

    def read() -> None:
        blocks = list(read_images(open_shard(path), folder))
        assert sum(len(ids) for ids, _ in blocks) == sum(len(images) for _, images in blocks) == 12

    outcome_of("shard", path, read)


def test_a_network_that_answers_nonsense_predicts_nothing() -> None:
    from okkhor.training.device import Precision
    from okkhor.training.loop import infer, join_batches

    network = create_network(ModelConfig(backbone="resnet10t"), image_size=32)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    answers = list(infer(network, [random_images(size=32)], Precision(torch.device("cpu"), torch.float32)))
    with pytest.raises(InputError, match="answers a with grapheme_root that is no number"):
        join_batches(answers, np.array(["a", "b"]))
