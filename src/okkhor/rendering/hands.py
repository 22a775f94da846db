"""Writers: a font with a hand's habits, which all of the writer's images share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.rendering.fonts import Face

NUM_WAVES = 3  # sine waves of a warp, each way
WAVELENGTH = (1.2, 4.0)  # letter bodies, shortest and longest
NUM_PARTS = 5  # of an axis, each grown or shrunk by itself: handwriting.KNOTS

SLOPPY = ("parts", "warp", "signs", "looseness", "bow", "tremor")
"""The habits in which a hand that is careless in one is careless in the others."""
SLOPPY_SPREAD = 0.3  # of the range, by which they differ in one hand

Hand = Mapping[str, float]
"""A value for each range of config.HandConfig, under its name."""


@dataclass(frozen=True)
class Warp:
    """A smooth displacement of the plane: sums of sine waves.

    waves: (2, NUM_WAVES, 4) float64: for x and y, each wave's amplitude, x and y frequency in radians, and phase.
    """

    waves: NDArray[np.float64]


@dataclass(frozen=True)
class Writer:
    """A hand. parts: (2, NUM_PARTS), for the scale of x and of y in each part; these and the warp have strength 1."""

    face: Face
    habits: Hand
    parts: NDArray[np.float64]
    warp: Warp


def draw_warp(generator: np.random.Generator) -> Warp:
    """A random warp that moves a point by about a letter body, to be scaled."""
    shape = (2, NUM_WAVES)
    frequency = 2 * np.pi / generator.uniform(*WAVELENGTH, shape)
    angle = generator.uniform(0, 2 * np.pi, shape)
    amplitude = generator.normal(0, 1 / np.sqrt(NUM_WAVES / 2), shape)
    phase = generator.uniform(0, 2 * np.pi, shape)
    return Warp(np.stack([amplitude, frequency * np.cos(angle), frequency * np.sin(angle), phase], axis=-1))


def make_writers(
    handwritten: Face, others: Sequence[Face], num_writers: int, ranges: HandConfig, generator: np.random.Generator
) -> list[Writer]:
    """Writers with random habits; every second one starts from the handwritten face, the rest share the others."""
    faces = [others[number // 2 % len(others)] if number % 2 else handwritten for number in range(num_writers)]
    return [draw_writer(face, ranges, generator) for face in faces]


def draw_writer(face: Face, ranges: HandConfig, generator: np.random.Generator) -> Writer:
    """A hand with a habit from each range; a sloppy one is high in all the ranges of SLOPPY, a neat one low."""
    names, low, high = split_ranges(ranges)
    shares = generator.random(len(names))
    sloppy = np.array([name in SLOPPY for name in names])
    sloppiness = generator.random()
    shares[sloppy] = np.clip(sloppiness + SLOPPY_SPREAD * (2 * shares[sloppy] - 1), 0, 1)
    habits = low + shares * (high - low)
    parts = generator.normal(0, 1, (2, NUM_PARTS))
    return Writer(face, dict(zip(names, habits.tolist(), strict=True)), parts, draw_warp(generator))


def vary_hand(habits: Hand, ranges: HandConfig, generator: np.random.Generator) -> Hand:
    """The hand as it is in one image: a little off its habits, within the ranges."""
    names, low, high = split_ranges(ranges)
    off = ranges.unsteadiness * (high - low) / 2 * generator.normal(0, 1, len(names))
    values = np.clip(np.array([habits[name] for name in names]) + off, low, high)
    return dict(zip(names, values.tolist(), strict=True))


@lru_cache(maxsize=8)
def split_ranges(ranges: HandConfig) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]:
    """The names of all ranges, their lowest and their highest values."""
    names = tuple(field.name for field in fields(ranges) if field.name != "unsteadiness")
    low, high = np.array([getattr(ranges, name) for name in names], np.float64).T
    return names, low, high
