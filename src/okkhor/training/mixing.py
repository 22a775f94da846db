"""mix_batch: two images of a batch as one, with the labels of both (CutMix, MixUp, FMix)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from okkhor.config import MixConfig

FMIX_DECAY = 3.0  # noise is divided by frequency^3, which makes areas smooth; Harris et al. 2020, arXiv:2002.12047


@dataclass(frozen=True)
class MixedBatch:
    """images: (B, 1, H, W) uint8. labels, partners: (B, K) int64, of the first and of the mixed-in image.

    share: of the first image, 0 to 1; 1 if nothing was mixed.
    """

    images: torch.Tensor
    labels: torch.Tensor
    partners: torch.Tensor
    share: float


def mix_batch(images: torch.Tensor, labels: torch.Tensor, config: MixConfig, seed: Sequence[int]) -> MixedBatch:
    """Mix each image of (B, 1, H, W) uint8 with another one of the batch, by one of the kinds or not at all.

    seed: fixes all random draws. No image is its own partner; a batch of one image stays unmixed.
    """
    generator = np.random.default_rng(np.random.SeedSequence(list(seed)))
    kind = choose_kind(config, generator.random())
    if kind is None or len(images) < 2:
        return MixedBatch(images, labels, labels, 1.0)
    ring = generator.permutation(len(images))
    partners = np.empty_like(ring)
    partners[ring] = np.roll(ring, 1)  # each image's predecessor in a ring in random order
    partner = torch.from_numpy(partners).to(images.device, non_blocking=True)
    alpha = float(getattr(config, f"{kind}_alpha"))
    share = float(generator.beta(alpha, alpha))
    if kind == "mixup":
        mixed = images.float().lerp(images[partner].float(), 1 - share).round().to(torch.uint8)
    else:
        height, width = images.shape[2:]
        make_mask = make_rectangle if kind == "cutmix" else make_smooth_area
        kept = make_mask(height, width, share, generator)
        mask = torch.from_numpy(kept).to(images.device, non_blocking=True)
        mixed = torch.where(mask, images, images[partner])
        share = float(kept.mean())  # of the pixels that were kept: a rectangle may be cut off at the border
    return MixedBatch(mixed, labels, labels[partner], share)


def choose_kind(config: MixConfig, draw: float) -> str | None:
    """Turn a uniform draw from 0 to 1 into a kind, by the probabilities of the settings."""
    for kind in ("cutmix", "mixup", "fmix"):
        draw -= getattr(config, kind)
        if draw < 0:
            return kind
    return None


def make_rectangle(height: int, width: int, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """CutMix, Yun et al. 2019, arXiv:1905.04899: (H, W) bool, False in a rectangle of 1 - share of the area.

    Its centre is random; the border cuts it off.
    """
    side = np.sqrt(1 - share) / 2
    row, column = generator.integers(height), generator.integers(width)
    half_height, half_width = round(height * side), round(width * side)
    kept = np.ones((height, width), bool)
    rows = slice(max(row - half_height, 0), row + half_height)
    kept[rows, max(column - half_width, 0) : column + half_width] = False
    return kept


def make_smooth_area(height: int, width: int, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """FMix, Harris et al. 2020, arXiv:2002.12047: (H, W) bool, True in the `share` of pixels with the highest noise."""
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    damping = np.maximum(frequencies, 1 / max(height, width)) ** FMIX_DECAY
    spectrum = generator.standard_normal((2, *frequencies.shape))
    noise = np.fft.irfft2((spectrum[0] + 1j * spectrum[1]) / damping, (height, width))
    kept = np.zeros(height * width, bool)
    kept[np.argsort(noise, axis=None)[::-1][: round(share * height * width)]] = True
    return kept.reshape(height, width)
