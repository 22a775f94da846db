"""From the cache to batches: each image with its own labels, once an epoch, the same with any number of workers."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import GRAPHEMES, NUM_TRAIN, SMALL, TRIPLES, number_of, read_number

from okkhor.config import AugmentConfig
from okkhor.data.augmentation import Augmentation
from okkhor.data.competition import TrainSet
from okkhor.data.loading import (
    Batch,
    BatchesInOrder,
    CachedImages,
    Loader,
    PlannedBatch,
    ShuffledBatches,
    sampling_weights,
)
from okkhor.label_triples import Labels
from okkhor.schema import HEAD_NAMES


def make_images(
    small_cache: Path, train_set: TrainSet, rows: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0
) -> CachedImages:
    return CachedImages([small_cache], rows, train_set.labels(rows), augmentation, seed)


def load(images: CachedImages, indices: Sequence[int]) -> Batch:
    return images[PlannedBatch(0, 0, 0, list(indices))]


def assert_labels_fit(images: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """Each image shows its number, and the number says which labels it has. -> the numbers."""
    numbers = [read_number(image.numpy()) for image in images[:, 0]]
    assert labels.tolist() == [list(TRIPLES[number % len(GRAPHEMES)]) for number in numbers]
    return numbers


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_validation_image_comes_once_in_order_with_its_own_labels(
    small_cache: Path, train_set: TrainSet, num_workers: int
) -> None:
    rows = np.array([20, 3, 4, 17, 9, 1, 0])
    loader = Loader(make_images(small_cache, train_set, rows), BatchesInOrder(7, 3), num_workers)
    with closing(loader):
        for _ in range(2):  # the same each time
            numbers = []
            for images, labels in loader.epoch():
                assert images.dtype == torch.uint8
                assert images.shape[1:] == (1, SMALL, SMALL)
                numbers += assert_labels_fit(images, labels)
            assert numbers == [number_of(image_id) for image_id in train_set.image_ids(rows)]


def test_every_training_image_comes_once_an_epoch_with_its_own_labels(small_cache: Path, train_set: TrainSet) -> None:
    loader = Loader(make_images(small_cache, train_set, np.arange(NUM_TRAIN)), ShuffledBatches(NUM_TRAIN, 8, seed=0))
    orders = []
    for epoch in range(2):
        batches = list(loader.epoch(epoch))
        assert len(batches) == len(loader) == 3
        orders.append([number for batch in batches for number in assert_labels_fit(*batch)])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(NUM_TRAIN))
    assert orders[0] != orders[1]


def load_epochs(small_cache: Path, train_set: TrainSet, num_workers: int, seed: int = 0) -> list[torch.Tensor]:
    """The augmented images of two epochs, each (24, 1, 32, 32), by row of train.csv."""
    order = ShuffledBatches(NUM_TRAIN, 6, seed)
    augmentation = Augmentation(AugmentConfig(policy="affine+erase", probability=2))
    images = make_images(small_cache, train_set, np.arange(NUM_TRAIN), augmentation, seed)
    epochs = []
    with closing(Loader(images, order, num_workers)) as loader:
        for epoch in range(2):
            loaded = torch.cat([batch for batch, _ in loader.epoch(epoch)])
            places = torch.tensor([row for batch in order.epoch(epoch) for row in batch.indices])
            epochs.append(loaded[places.argsort()])
    return epochs


def test_augmentation_is_the_same_with_0_1_and_2_workers(small_cache: Path, train_set: TrainSet) -> None:
    expected = load_epochs(small_cache, train_set, num_workers=0)
    for num_workers in (1, 2):
        for epoch, images in enumerate(load_epochs(small_cache, train_set, num_workers)):
            assert torch.equal(images, expected[epoch])


def test_an_epoch_that_was_left_leaves_nothing_for_the_next(small_cache: Path, train_set: TrainSet) -> None:
    images, order = make_images(small_cache, train_set, np.arange(NUM_TRAIN)), ShuffledBatches(NUM_TRAIN, 4, seed=0)
    with closing(Loader(images, order, num_workers=1)) as loader:
        next(loader.epoch(0))
        found = [assert_labels_fit(*batch) for batch in loader.epoch(1, first_batch=2)]
    planned = [train_set.image_ids(np.array(batch.indices)) for batch in order.epoch(1, first_batch=2)]
    assert found == [[number_of(image_id) for image_id in ids] for ids in planned]


def test_augmentation_differs_between_epochs_images_and_seeds(small_cache: Path, train_set: TrainSet) -> None:
    first, second = load_epochs(small_cache, train_set, num_workers=0)
    plain = load(make_images(small_cache, train_set, np.arange(NUM_TRAIN)), range(NUM_TRAIN))[0]
    other = load_epochs(small_cache, train_set, num_workers=0, seed=1)[0]
    for one, another in ((first, plain), (first, second), (first, other)):
        assert (one != another).flatten(1).any(dim=1).float().mean() > 0.9
    holes = ((plain > 200) & (first == 0)).flatten(1)
    assert len(torch.unique(holes, dim=0)) > NUM_TRAIN * 0.8, "images of a batch are changed alike"


@pytest.mark.parametrize(("num_images", "batch_size"), [(24, 8), (25, 8), (7, 8), (2, 2), (100, 33)])
def test_an_epoch_has_each_image_at_most_once_in_batches_of_one_size(num_images: int, batch_size: int) -> None:
    order = ShuffledBatches(num_images, batch_size, seed=3)
    for epoch in range(3):
        batches = list(order.epoch(epoch))
        assert len(batches) == len(order) >= 1
        assert {len(batch.indices) for batch in batches} == {min(batch_size, num_images)}
        counts = Counter(number for batch in batches for number in batch.indices)
        assert set(counts.values()) == {1}
        assert set(counts) <= set(range(num_images))
        assert num_images - len(counts) < batch_size


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 1, 50)])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_each_batch_in_equal_parts(weights: np.ndarray | None, world_size: int) -> None:
    orders = [ShuffledBatches(50, 12, 4, weights, rank, world_size).epoch() for rank in range(world_size)]
    alone = ShuffledBatches(50, 12, 4, weights).epoch()
    for whole, parts in zip(alone, zip(*orders, strict=True), strict=True):
        assert {len(part.indices) for part in parts} == {12 // world_size}
        assert {(part.epoch, part.number) for part in parts} == {(whole.epoch, whole.number)}
        assert sorted(index for part in parts for index in part.indices) == sorted(whole.indices)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_process_without_validation_images_loads_none(
    small_cache: Path, train_set: TrainSet, num_workers: int
) -> None:
    images = make_images(small_cache, train_set, np.arange(0))
    assert list(Loader(images, BatchesInOrder(0, 8), num_workers).epoch()) == []


def test_the_grapheme_is_a_column_behind_the_heads(small_cache: Path, train_set: TrainSet) -> None:
    rows = np.arange(NUM_TRAIN)
    labels = Labels.from_columns({**train_set.labels(rows), "grapheme": rows * 10})
    assert load(CachedImages([small_cache], rows, labels), [3, 5])[1][:, 3].tolist() == [30, 50]


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 1, 50)])
def test_seed_and_epoch_alone_fix_the_order(weights: np.ndarray | None) -> None:
    torch.manual_seed(1)
    first = list(ShuffledBatches(50, 8, 4, weights).epoch(0))
    torch.manual_seed(2)
    assert list(ShuffledBatches(50, 8, 4, weights).epoch(0)) == first
    for seed, epoch in ((5, 0), (4, 1)):
        other = ShuffledBatches(50, 8, seed, weights).epoch(epoch)
        assert [batch.indices for batch in other] != [batch.indices for batch in first]


def test_plain_sampling_weighs_nothing_and_balanced_draws_a_root_by_the_square_root_of_its_images() -> None:
    labels = Labels(np.repeat([[0, 0, 0], [0, 1, 0], [1, 0, 0]], [60, 30, 10], axis=0))
    assert sampling_weights("plain", labels) is None
    weights = sampling_weights("balanced", labels)
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    order = ShuffledBatches(100, 50, seed=0, weights=weights)
    drawn = [index for epoch in range(200) for batch in order.epoch(epoch) for index in batch.indices]
    counts = np.bincount(drawn, minlength=100) / len(drawn)
    assert counts[90:].sum() == pytest.approx(np.sqrt(10) / (np.sqrt(10) + np.sqrt(90)), abs=0.02)
    assert counts[:60].sum() == pytest.approx(2 * counts[60:90].sum(), abs=0.04)


def test_images_of_a_second_cache_count_on_from_the_first(small_cache: Path) -> None:
    whole, rows = np.load(small_cache), np.array([30, 3, 47, 24, 0])
    labels = Labels.from_columns({name: np.arange(5) for name in HEAD_NAMES})
    images, _ = load(CachedImages([small_cache, small_cache], rows, labels), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(images[:, 0].numpy(), whole[[6, 3, 23, 0, 0]])
