"""Random changes of training images, by Albumentations. No flips: they turn a glyph into another."""

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.config import AugmentConfig
from okkhor.errors import ConfigError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network for a newer version

import albumentations

Change = Callable[[NDArray[np.uint8], float, np.random.Generator], NDArray[np.uint8]]
Make = Callable[[float, float], Any]


Image = NDArray[np.uint8]


ELASTIC_POINTS, ELASTIC_SIGMA = 29, 4  # Simard's images had 29 pixels; displacements are smoothed over 4 of them
ELASTIC_ALPHA = 15.0  # of those pixels; Simard's 34 is for digits, whose parts are larger than a vowel sign's


def bend(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Elastic distortion: smooth random displacements, Simard et al. 2003, "Best practices for CNNs"."""
    height, width = image.shape
    noise = generator.uniform(-1, 1, (ELASTIC_POINTS, ELASTIC_POINTS, 2))
    smooth = cv2.GaussianBlur(noise, (0, 0), ELASTIC_SIGMA) * (ELASTIC_ALPHA * strength / ELASTIC_POINTS)
    shifts = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    rows, columns = np.indices(image.shape, dtype=np.float32)
    return cv2.remap(image, columns + shifts[..., 0] * width, rows + shifts[..., 1] * height, cv2.INTER_LINEAR)


STRETCH_PARTS = 4  # across the image, and down
STRETCH = 0.3  # of a part's width, more or less, before all are fitted into the image again


def stretch(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Grid distortion: parts of the glyph wider or higher, the others narrower or lower in return."""
    maps = []
    for length in image.shape:
        widths = np.exp(generator.uniform(-1, 1, STRETCH_PARTS) * STRETCH * strength)
        edges = np.append(0, widths.cumsum() / widths.sum()) * (length - 1)
        there = np.interp(np.arange(length), np.linspace(0, length - 1, STRETCH_PARTS + 1), edges)
        maps.append(there.astype(np.float32))
    rows, columns = np.meshgrid(*maps, indexing="ij")
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR)


THICKER, THINNER = 0.03, 0.012  # of the image's height, added to or taken from a stroke's width, at most


def change_pen(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Thicker or thinner strokes: dilation or erosion, blended so that the width need not be whole pixels."""
    change = generator.uniform(-THINNER, THICKER) * strength * image.shape[0]  # pixels
    morph = cv2.dilate if change > 0 else cv2.erode
    whole = int(abs(change))
    share = abs(change) - whole
    less, more = (morph(image, np.ones((size, size), np.uint8)) for size in (whole + 1, whole + 2))
    return cv2.addWeighted(less, 1 - share, more, share, 0)


def blur(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """A scanner out of focus, a marker on thin paper."""
    sigma = generator.uniform(0.5, 1) * 0.014 * strength * image.shape[0]  # pixels
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3))


GRID_UNITS = (3.0, 6.0)  # across the image
GRID_HOLE = 0.4  # of a unit's side: 16 % is hidden, the paper's best share


def mask_grid(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Holes of paper in a regular grid, which hide no whole glyph: GridMask, Chen et al. 2020, arXiv:2001.04086."""
    unit = image.shape[0] / generator.uniform(*GRID_UNITS)  # pixels
    hole = min(GRID_HOLE * strength, 0.8) * unit
    rows, columns = (
        (np.arange(length) + generator.uniform(0, unit)) % unit < hole for length in (image.shape[0], image.shape[1])
    )
    return np.where(rows[:, None] & columns, np.uint8(0), image)


class Distortion(albumentations.ImageOnlyTransform):  # type: ignore[misc]  # Albumentations carries no types
    """A change of distortions.py as Albumentations takes it, with Albumentations' seeded generator."""

    def __init__(self, change: Change, strength: float, p: float) -> None:
        super().__init__(p=p)
        self.change = change
        self.strength = strength

    def apply(self, img: NDArray[np.uint8], **_: Any) -> NDArray[np.uint8]:
        return self.change(img, self.strength, self.random_generator)


def _affine(strength: float, p: float) -> Any:
    angle, scale = 8 * strength, min(0.12 * strength, 0.9)  # degrees; share of the size
    return albumentations.Affine(
        rotate=(-angle, angle),
        shear={"x": (-angle, angle), "y": (0, 0)},  # the slant of a hand
        scale={"x": (1 - scale, 1 + scale), "y": (1 - scale, 1 + scale)},
        translate_percent=(-0.06 * strength, 0.06 * strength),
        border_mode=cv2.BORDER_CONSTANT,
        fill=0,
        p=p,
    )


def _perspective(strength: float, p: float) -> Any:
    """A page that was photographed from the side. Nothing is cut off: the whole image stays in view."""
    return albumentations.Perspective(scale=(0, min(0.08 * strength, 0.4)), fit_output=True, fill=0, p=p)


def _erase(strength: float, p: float) -> Any:
    """A rectangle of paper: Random Erasing, Zhong et al. 2017, arXiv:1708.04896."""
    largest = min(0.2 * strength, 0.8)  # of the image's area
    return albumentations.Erasing(scale=(min(0.02, largest), largest), fill=0, p=p)


def _dropout(strength: float, p: float) -> Any:
    """Several squares of paper: Cutout, DeVries and Taylor 2017, arXiv:1708.04552, with smaller holes."""
    largest = min(0.18 * strength, 0.5)  # of the image's side
    sides = (min(0.06, largest), largest)
    return albumentations.CoarseDropout((2, 5), hole_height_range=sides, hole_width_range=sides, fill=0, p=p)


def _noise(strength: float, p: float) -> Any:
    """The grain of a scan, on ink and paper alike."""
    largest = min(0.06 * strength, 1)  # standard deviation, of 255
    return albumentations.GaussNoise(std_range=(largest / 4, largest), p=p)


def _contrast(strength: float, p: float) -> Any:
    """Fainter or stronger ink, sharper or softer edges. By factors and powers only, so paper stays 0."""
    ink = (-min(0.4 * strength, 0.7), min(0.3 * strength, 0.7))
    gamma = (100 / (1 + 0.4 * strength), 100 * (1 + 0.4 * strength))  # percent
    return albumentations.Sequential(
        [
            albumentations.RandomBrightnessContrast(brightness_limit=0, contrast_limit=ink, p=1),
            albumentations.RandomGamma(gamma_limit=gamma, p=1),
        ],
        p=p,
    )


def _distortion(change: Change) -> Make:
    return lambda strength, p: Distortion(change, strength, p)


TRANSFORMS: dict[str, tuple[Make, float]] = {
    "affine": (_affine, 0.9),
    "perspective": (_perspective, 0.3),
    "elastic": (_distortion(bend), 0.5),
    "grid": (_distortion(stretch), 0.3),
    "stroke": (_distortion(change_pen), 0.5),
    "blur": (_distortion(blur), 0.2),
    "contrast": (_contrast, 0.5),
    "noise": (_noise, 0.2),
    "erase": (_erase, 0.5),
    "dropout": (_dropout, 0.3),
    "gridmask": (_distortion(mask_grid), 0.3),
}
"""By name: what makes the transform, given strength and probability; and its probability where the setting is 1."""

POLICIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "affine": ("affine",),
    "light": ("affine", "erase"),
    "medium": ("affine", "elastic", "stroke", "contrast", "erase"),
    "heavy": ("affine", "perspective", "elastic", "grid", "stroke", "blur", "contrast", "noise", "erase", "gridmask"),
}
"""The transforms of each policy, in the order in which they are applied."""


def parse_policy(policy: str) -> tuple[str, ...]:
    """`heavy`, or `affine+elastic` -> the names of the transforms. Raises ConfigError for an unknown name."""
    names = POLICIES.get(policy, tuple(policy.split("+")))
    for name in names:
        if name not in TRANSFORMS:
            raise ConfigError(
                f"augment.policy={policy}: no '{name}'. Policies: {', '.join(POLICIES)}; "
                f"or transforms joined by +: {', '.join(TRANSFORMS)}."
            )
    return names


class Augmentation:
    """Changes batches. The same seed changes them in the same way, in whichever process."""

    def __init__(self, config: AugmentConfig) -> None:
        self.usual = make_transform(config, config.strength)
        self.cooldown = make_transform(config, config.cooldown_strength)

    def __call__(
        self, images: NDArray[np.uint8], seed: int, cooldown: bool = False, into: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """(B, H, W) uint8, ink bright on 0 -> the same, changed; with the cooldown's strength where it is said.

        into: where they are written, new memory where it is None; `images` themselves will do.
        """
        changed = np.empty_like(images) if into is None else into
        cv2.setNumThreads(0)  # in whichever process: its thread pool and torch's fight for the same cores
        transform = self.cooldown if cooldown else self.usual
        transform.set_random_seed(seed)
        for number, image in enumerate(images):
            changed[number] = transform(image=image)["image"]
        return changed


def make_transform(config: AugmentConfig, strength: float) -> Any:
    """The policy's transforms one after the other; none at strength 0, which leaves images as they are."""
    transforms = []
    for name in parse_policy(config.policy) if strength else ():
        make, probability = TRANSFORMS[name]
        transforms.append(make(strength, min(probability * config.probability, 1)))
    return albumentations.Compose(transforms)
