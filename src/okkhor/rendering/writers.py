"""Writers: a font with a hand's habits, which all of the writer's images share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from okkhor.rendering.fonts import Face

NUM_WAVES = 3  # sine waves of a warp, each way
WAVELENGTH = (1.2, 4.0)  # letter bodies, shortest and longest
NUM_PARTS = 5  # of an axis, each grown or shrunk by itself: handwriting.KNOTS


@dataclass(frozen=True)
class Warp:
    """A smooth displacement of the plane: sums of sine waves, in letter bodies.

    waves: (2, NUM_WAVES, 4) float64: for x and y, each wave's amplitude, x and y frequency in radians, and phase.
    """

    waves: NDArray[np.float64]


@dataclass(frozen=True)
class Writer:
    """A hand. Lengths are in letter bodies (head line to foot of ক) where no unit is given."""

    face: Face
    body: float  # pixels from the head line to the foot of ক
    aspect: float  # width over height, against the font's
    slant: float  # x per y; positive leans to the right
    slope: float  # y per x of the line that the writer keeps to
    parts: NDArray[np.float64]  # (2, NUM_PARTS) logarithms of the scale of x and of y in each part
    warp: Warp
    roundness: float  # points of a stroke over which corners are smoothed
    head_line: float  # by which the head line's free ends are drawn longer
    looseness: float  # standard deviation of a stroke's own shift
    pen: float  # pixels, width of the stroke
    contrast: float  # 0: the pen's own width everywhere; 1: the font's thick and thin
    pressure: float  # standard deviation of the width along a stroke, share of the pen
    darkness: int  # gray level of the ink, 0 black
    paper: int  # gray level of the paper
    grain: float  # standard deviation of the paper's noise, gray levels
    softness: float  # pixels, standard deviation of the scanner's blur
    place: tuple[float, float]  # pixels right and down from the middle, where the writer puts the letter


def draw_warp(generator: np.random.Generator, strength: float) -> Warp:
    """A random warp that moves a point by about `strength` letter bodies."""
    shape = (2, NUM_WAVES)
    frequency = 2 * np.pi / generator.uniform(*WAVELENGTH, shape)
    angle = generator.uniform(0, 2 * np.pi, shape)
    amplitude = generator.normal(0, strength / np.sqrt(NUM_WAVES / 2), shape)
    phase = generator.uniform(0, 2 * np.pi, shape)
    return Warp(np.stack([amplitude, frequency * np.cos(angle), frequency * np.sin(angle), phase], axis=-1))


def make_writers(
    handwritten: Face, others: Sequence[Face], num_writers: int, generator: np.random.Generator
) -> list[Writer]:
    """Writers with random habits; every second one starts from the handwritten face, the rest share the others."""
    faces = [others[number // 2 % len(others)] if number % 2 else handwritten for number in range(num_writers)]
    return [draw_writer(face, generator) for face in faces]


def draw_writer(face: Face, generator: np.random.Generator) -> Writer:
    """One hand. The ranges of size, pen, ink and paper are those of 12 real images and of 1,153 others by 20 hands."""
    uniform, normal = generator.uniform, generator.normal
    return Writer(
        face=face,
        body=uniform(50, 82),
        aspect=float(np.exp(normal(0.12, 0.15))),
        slant=normal(0.05, 0.12),
        slope=normal(-0.02, 0.04),
        parts=normal(0, 0.14, (2, NUM_PARTS)),
        warp=draw_warp(generator, 0.035),
        roundness=uniform(0.5, 2.0),
        head_line=normal(0.18, 0.18),
        looseness=uniform(0.01, 0.035),
        pen=float(np.exp(normal(np.log(4.8), 0.28))),
        contrast=uniform(0, 0.5),
        pressure=uniform(0.04, 0.14),
        darkness=int(generator.integers(5, 75)),
        paper=int(generator.integers(251, 256)),
        grain=uniform(0.3, 0.9),
        softness=uniform(0.35, 0.8),
        place=(normal(0, 12), normal(-1, 5)),
    )
