"""`Augmentation` changes training images at random, with Albumentations. No flips: a flipped glyph is another glyph."""

import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from okkhor.config import AugmentConfig
from okkhor.errors import ConfigError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # without it, its import asks the network for a newer version

import albumentations

POLICIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "affine": ("affine",),
    "light": ("affine", "erase"),
    "medium": ("affine", "elastic", "stroke", "contrast", "erase"),
    "heavy": ("affine", "perspective", "elastic", "grid", "stroke", "blur", "contrast", "noise", "erase"),
}
"""The transforms of each policy, in the order in which they are applied."""

PLACES = {"affine": 0.9, "perspective": 0.3, "elastic": 0.5, "grid": 0.3}
INK = {"stroke": 0.5, "blur": 0.2, "contrast": 0.5, "noise": 0.2}
HOLES = {"erase": 0.5, "dropout": 0.3}
TRANSFORMS = PLACES | INK | HOLES
"""The probability of each transform, at augment.probability=1."""

ELASTIC_POINTS, ELASTIC_SIGMA = 29, 4  # Simard's images had 29 pixels; displacements are smoothed over 4 of them
ELASTIC_ALPHA = 15.0  # of those pixels; Simard's 34 is for digits, whose strokes are larger than a vowel sign
STRETCH_CELLS = 4  # across the image, and down
STRETCH = 0.3  # of a cell's width, more or less, before all cells are fitted into the image again
THICKER, THINNER = 0.03, 0.012  # of the image's height: the most that a stroke's width gains or loses

Image = NDArray[np.uint8]
Distort = Callable[[Image, float, np.random.Generator], Image]  # of an image (H, W), the strength, a generator


class Augmentation:
    """Changes batches of images. The same seed gives the same changes in any process."""

    def __init__(self, config: AugmentConfig) -> None:
        self.transform = make_transform(config)

    def __call__(
        self, images: NDArray[np.uint8], seed: int, into: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Change images (B, H, W) uint8, ink bright on 0. into: where to write the result; default: a new array."""
        changed = np.empty_like(images) if into is None else into
        cv2.setNumThreads(0)  # in each process: OpenCV's threads would compete with torch's for the cores
        self.transform.set_random_seed(seed)
        for number, image in enumerate(images):
            changed[number] = self.transform(image=image)["image"]
        return changed


def make_transform(config: AugmentConfig) -> Any:
    """Compose the policy's transforms; none at strength 0, which leaves images unchanged."""
    strength = config.strength
    names = parse_policy(config.policy) if strength else ()
    probabilities = [min(TRANSFORMS[name] * config.probability, 1) for name in names]
    return albumentations.Compose([_make(name, strength, p) for name, p in zip(names, probabilities, strict=True)])


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


def _make(name: str, strength: float, p: float) -> Any:
    """One transform. p: its probability."""
    match name:
        case "affine":
            angle, scale = 8 * strength, min(0.12 * strength, 0.9)  # degrees; share of the size
            return albumentations.Affine(
                rotate=(-angle, angle),
                shear={"x": (-angle, angle), "y": (0, 0)},  # the slant of handwriting
                scale={"x": (1 - scale, 1 + scale), "y": (1 - scale, 1 + scale)},
                translate_percent=(-0.06 * strength, 0.06 * strength),
                border_mode=cv2.BORDER_CONSTANT,
                fill=0,
                p=p,
            )
        case "perspective":  # a page photographed from the side; the whole image stays in view
            return albumentations.Perspective(scale=(0, min(0.08 * strength, 0.4)), fit_output=True, fill=0, p=p)
        case "erase":  # a rectangle of paper: Random Erasing, Zhong et al. 2017, arXiv:1708.04896
            area = min(0.2 * strength, 0.8)  # of the image
            return albumentations.Erasing(scale=(min(0.02, area), area), fill=0, p=p)
        case "dropout":  # squares of paper: Cutout, DeVries and Taylor 2017, arXiv:1708.04552, with smaller holes
            side = min(0.18 * strength, 0.5)  # of the image's side
            sides = (min(0.06, side), side)
            return albumentations.CoarseDropout((2, 5), hole_height_range=sides, hole_width_range=sides, fill=0, p=p)
        case "noise":  # the grain of a scan, on ink and paper alike
            deviation = min(0.06 * strength, 1)  # of 255
            return albumentations.GaussNoise(std_range=(deviation / 4, deviation), p=p)
        case "contrast":  # fainter or stronger ink, sharper or softer edges; only factors and powers: paper stays 0
            ink = (-min(0.4 * strength, 0.7), min(0.3 * strength, 0.7))
            gamma = (100 / (1 + 0.4 * strength), 100 * (1 + 0.4 * strength))  # percent
            change_ink = albumentations.RandomBrightnessContrast(brightness_limit=0, contrast_limit=ink, p=1)
            return albumentations.Sequential([change_ink, albumentations.RandomGamma(gamma_limit=gamma, p=1)], p=p)
        case _:
            return _Distortion(DISTORTIONS[name], strength, p)


class _Distortion(albumentations.ImageOnlyTransform):  # type: ignore[misc]  # Albumentations has no types
    """One of the functions below as a transform of Albumentations, with its seeded generator."""

    def __init__(self, distort: Distort, strength: float, p: float) -> None:
        super().__init__(p=p)
        self.distort = distort
        self.strength = strength

    def apply(self, img: Image, **_: Any) -> Image:
        return self.distort(img, self.strength, self.random_generator)


def _bend(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Elastic distortion: smooth random displacements, Simard et al. 2003, "Best practices for CNNs"."""
    height, width = image.shape
    noise = generator.uniform(-1, 1, (ELASTIC_POINTS, ELASTIC_POINTS, 2))
    smooth = cv2.GaussianBlur(noise, (0, 0), ELASTIC_SIGMA) * (ELASTIC_ALPHA * strength / ELASTIC_POINTS)
    shifts = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    rows, columns = np.indices(image.shape, dtype=np.float32)
    return cv2.remap(image, columns + shifts[..., 0] * width, rows + shifts[..., 1] * height, cv2.INTER_LINEAR)


def _stretch(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Grid distortion: some cells of the image become wider or higher, the others narrower or lower in return."""
    maps = []
    for length in image.shape:
        widths = np.exp(generator.uniform(-1, 1, STRETCH_CELLS) * STRETCH * strength)
        edges = np.append(0, widths.cumsum() / widths.sum()) * (length - 1)
        from_where = np.interp(np.arange(length), np.linspace(0, length - 1, STRETCH_CELLS + 1), edges)
        maps.append(from_where.astype(np.float32))
    rows, columns = np.meshgrid(*maps, indexing="ij")
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR)


def _change_pen(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Thicker or thinner strokes: dilation or erosion, blended to reach widths between whole pixels."""
    change = generator.uniform(-THINNER, THICKER) * strength * image.shape[0]  # pixels
    morph = cv2.dilate if change > 0 else cv2.erode
    whole = int(abs(change))
    share = abs(change) - whole
    less, more = (morph(image, np.ones((size, size), np.uint8)) for size in (whole + 1, whole + 2))
    return cv2.addWeighted(less, 1 - share, more, share, 0)


def _blur(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """A scanner out of focus, a marker on thin paper."""
    sigma = generator.uniform(0.5, 1) * 0.014 * strength * image.shape[0]  # pixels
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3))


DISTORTIONS = {"elastic": _bend, "grid": _stretch, "stroke": _change_pen, "blur": _blur}
