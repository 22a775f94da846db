"""`Hand`: a font with the habits of the person who writes it, which all images by this hand share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.rendering.fonts import Face

NUM_WAVES = 3  # sine waves of a warp, along each axis
WAVELENGTH = (1.2, 4.0)  # letter bodies, shortest and longest
ZONE_EDGES = np.array([-6.0, -0.6, 0.0, 0.6, 1.2, 6.0])  # letter bodies, on both axes; no glyph goes beyond 3.5

SLOPPY = ("parts", "warp", "signs", "looseness", "bow", "tremor")
"""The habits in which a hand that is careless in one is careless in the others."""
SLOPPY_SPREAD = 0.3  # of the range, by which these habits differ in one hand

Habits = Mapping[str, float]
"""A value for each range of HandConfig, by its name."""
Warp = NDArray[np.float64]
"""A smooth displacement of the plane, sums of sine waves along x and along y: (2, NUM_WAVES, 4).

Each wave has amplitude in letter bodies, x and y frequency in radians per letter body, and phase in radians.
"""


@dataclass(frozen=True)
class Hand:
    """zones: (2, Z) float64, how much wider (x) and higher (y) each zone is. Habits scale zones and warp."""

    face: Face
    habits: Habits
    zones: NDArray[np.float64]
    warp: Warp


def draw_warp(generator: np.random.Generator) -> Warp:
    """Draw a warp that moves a point by about a letter body."""
    shape = (2, NUM_WAVES)
    frequency = 2 * np.pi / generator.uniform(*WAVELENGTH, shape)
    angle = generator.uniform(0, 2 * np.pi, shape)
    amplitude = generator.normal(0, 1 / np.sqrt(NUM_WAVES / 2), shape)
    phase = generator.uniform(0, 2 * np.pi, shape)
    return np.stack([amplitude, frequency * np.cos(angle), frequency * np.sin(angle), phase], axis=-1)


def make_hands(
    handwritten: Face, others: Sequence[Face], num_hands: int, ranges: HandConfig, generator: np.random.Generator
) -> list[Hand]:
    """Draw hands with random habits; every second one has the handwritten face, the rest share the others in turn."""
    faces = [others[number // 2 % len(others)] if number % 2 else handwritten for number in range(num_hands)]
    return [draw_hand(face, ranges, generator) for face in faces]


def draw_hand(face: Face, ranges: HandConfig, generator: np.random.Generator) -> Hand:
    """Draw a habit from each range; a sloppy hand is high in all the ranges of SLOPPY, a neat one low."""
    names, low, high = split_ranges(ranges)
    shares = generator.random(len(names))
    sloppy = np.array([name in SLOPPY for name in names])
    sloppiness = generator.random()
    shares[sloppy] = np.clip(sloppiness + SLOPPY_SPREAD * (2 * shares[sloppy] - 1), 0, 1)
    habits = low + shares * (high - low)
    zones = generator.normal(0, 1, (2, len(ZONE_EDGES) - 1))
    return Hand(face, dict(zip(names, habits.tolist(), strict=True)), zones, draw_warp(generator))


def vary_hand(hand: Hand, ranges: HandConfig, generator: np.random.Generator) -> Hand:
    """Return the hand as it writes one image: a little off its habits, within the ranges."""
    names, low, high = split_ranges(ranges)
    off = ranges.unsteadiness * (high - low) / 2 * generator.normal(0, 1, len(names))
    values = np.clip(np.array([hand.habits[name] for name in names]) + off, low, high)
    return replace(hand, habits=dict(zip(names, values.tolist(), strict=True)))


@lru_cache(maxsize=8)
def split_ranges(ranges: HandConfig) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Return the names of all ranges, their lowest and their highest values."""
    names = tuple(field.name for field in fields(ranges) if field.name != "unsteadiness")
    low, high = np.array([getattr(ranges, name) for name in names], np.float64).T
    return names, low, high
