"""Mixing, checked on pixels: what is pasted is what the label says."""

import cv2
import numpy as np
import pytest
import torch

from okkhor.config import MixConfig
from okkhor.training.mixing import MixedBatch, mix_batch

NUM_IMAGES = 6
KINDS = ("cutmix", "mixup", "fmix")


def make_batch(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Image k is gray 10 * (k + 1) all over and has the labels k, k + 100, k + 200."""
    numbers = torch.arange(NUM_IMAGES)
    images = (10 * (numbers + 1)).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, size, size).contiguous()
    return images, torch.stack([numbers, numbers + 100, numbers + 200], dim=1)


def config_of(kind: str, alpha: float = 1.0) -> MixConfig:
    return MixConfig(**{kind: 1.0, f"{kind}_alpha": alpha})  # type: ignore[arg-type]


def mix(kind: str, seed: int, alpha: float = 1.0, size: int = 32) -> MixedBatch:
    return mix_batch(*make_batch(size), config_of(kind, alpha), seed=[0, seed])


def is_rectangle(mask: np.ndarray) -> bool:
    rows, columns = np.nonzero(mask)
    return len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_comes_from_its_place_in_the_two_images_by_the_shares_of_their_labels(kind: str) -> None:
    for seed in range(20):
        images = torch.randint(0, 256, (5, 1, 15, 22), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        mixed = mix_batch(images, torch.arange(5)[:, None], config_of(kind), [seed])
        others = images[mixed.partners[:, 0]]
        if kind == "mixup":
            expected = mixed.share * images.double() + (1 - mixed.share) * others.double()
            assert (mixed.images.double() - expected).abs().max() < 0.5001
        else:
            kept = (mixed.images == images).all(dim=0)  # one mask for all, up to pixels that two images share by chance
            assert torch.equal(mixed.images, torch.where(kept, images, others))
            assert kept.double().mean().item() == pytest.approx(mixed.share)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_pasted_once_into_another_and_dtype_shape_and_input_stay(kind: str) -> None:
    images, labels = make_batch()
    mixed = mix(kind, 3)
    assert torch.equal(mixed.labels, labels)
    assert sorted(mixed.partners.tolist()) == labels.tolist()
    assert (mixed.partners[:, 0] != labels[:, 0]).all()
    assert (mixed.images.dtype, mixed.images.shape) == (torch.uint8, images.shape)
    assert torch.equal(make_batch()[0], images)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_mixes_alike_and_another_differently(kind: str) -> None:
    torch.manual_seed(1)
    one = mix(kind, 5)
    torch.manual_seed(2)
    assert torch.equal(one.images, mix(kind, 5).images)
    assert not torch.equal(one.images, mix(kind, 6).images)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_alpha_mixes_little_and_a_large_one_by_halves(kind: str) -> None:
    small, large = (np.mean([abs(mix(kind, seed, alpha).share - 0.5) for seed in range(60)]) for alpha in (0.05, 50.0))
    assert large < 0.3 < small


def test_each_kind_comes_with_its_probability_and_none_with_the_rest() -> None:
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    images[1] = 200
    labels = torch.tensor([[0, 0, 0], [1, 1, 1]])
    config = MixConfig(cutmix=0.1, mixup=0.2, fmix=0.4, mixup_alpha=50.0, cutmix_alpha=5, fmix_alpha=5)
    found = dict.fromkeys(("none", *KINDS), 0)
    for seed in range(600):
        mixed = mix_batch(images, labels, config, [seed])
        if mixed.share == 1.0:
            assert torch.equal(mixed.images, images)
            found["none"] += 1
        elif not set(mixed.images.unique().tolist()) <= {0, 200}:
            found["mixup"] += 1
        else:
            found["cutmix" if is_rectangle(mixed.images[0, 0].numpy()) else "fmix"] += 1
    shares = {kind: number / 600 for kind, number in found.items()}
    assert shares == pytest.approx({"none": 0.3, "cutmix": 0.1, "mixup": 0.2, "fmix": 0.4}, abs=0.06)


def test_a_batch_of_one_image_stays_unmixed() -> None:
    image = torch.randint(0, 256, (1, 1, 16, 16), dtype=torch.uint8)
    mixed = mix_batch(image, torch.zeros(1, 3, dtype=torch.int64), MixConfig(cutmix=1.0), [0])
    assert torch.equal(mixed.images, image)
    assert mixed.share == 1.0


def test_fmix_pastes_a_few_smooth_areas_and_cutmix_a_rectangle() -> None:
    for seed in range(20):
        fmix, cutmix = ((mix(kind, seed, 5.0, size=64).images[0, 0] != 10).numpy() for kind in ("fmix", "cutmix"))
        assert cv2.connectedComponents(fmix.astype(np.uint8))[0] - 1 <= 12
        assert is_rectangle(cutmix)
