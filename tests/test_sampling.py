"""How often an epoch draws an image."""

import numpy as np
import pytest

from okkhor.data.loading import ShuffledBatches, sampling_weights
from okkhor.label_triples import Labels

LABELS = Labels(np.repeat([[0, 0, 0], [0, 1, 0], [1, 0, 0]], [60, 30, 10], axis=0))


def shares(scheme: str) -> list[float]:
    """How often the three groups of images, of 60, 30 and 10, are drawn in a long epoch."""
    weights = sampling_weights(scheme, LABELS)  # type: ignore[arg-type]
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    drawn: list[int] = []
    batches = ShuffledBatches(100, 50, seed=0, weights=weights)
    for epoch in range(200):
        drawn += [index for batch in batches.epoch(epoch) for index in batch.indices]
    counts = np.bincount(drawn, minlength=100) / len(drawn)
    return [counts[:60].sum(), counts[60:90].sum(), counts[90:].sum()]


def test_plain_sampling_weighs_nothing() -> None:
    assert sampling_weights("plain", LABELS) is None


def test_balanced_sampling_draws_a_root_by_the_square_root_of_its_images() -> None:
    first, second, rare = shares("balanced")
    assert rare == pytest.approx(np.sqrt(10) / (np.sqrt(10) + np.sqrt(90)), abs=0.02)
    assert first == pytest.approx(2 * second, abs=0.04)


def test_a_weighted_epoch_is_fixed_by_its_seed_and_number() -> None:
    weights = sampling_weights("balanced", LABELS)
    one, other = (ShuffledBatches(100, 50, seed=1, weights=weights) for _ in range(2))
    assert list(one.epoch(0)) == list(other.epoch(0))
    assert [batch.indices for batch in one.epoch(0)] != [batch.indices for batch in other.epoch(1)]
