"""The settings of rendered images, groups of config.Config: the sample and the hands that write it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleConfig:
    """The data set that is rendered from fonts where Kaggle's files are absent."""

    root: str = "input/sample"  # rendered here when data.root is this folder and it has no train.csv
    num_graphemes: int = 1295  # of the 1,295 graphemes of the real train set, the first so many
    images_per_grapheme: int = 12  # train images of each
    test_images: int = 2000  # images of test, by writers that train lacks
    unseen_graphemes: int = 70  # graphemes that only test has, an image of each: 3.5 % of it, as in the competition
    num_writers: int = 60  # hands of train: a font with a style
    num_test_writers: int = 20  # hands of test
    num_shards: int = 4  # parquet files of each split
    font_dirs: tuple[str, ...] = ()  # folders with a person's own Bengali fonts (ttf, otf), added to the packaged ones
    seed: int = 0  # fixes every pixel
    processes: int = 0  # worker processes for rendering; 0: one per core


Range = tuple[float, float]
"""The lowest and the highest value."""


@dataclass(frozen=True)
class HandConfig:
    """How the hands differ that write rendered images. Each has a habit from each range.

    Lengths are in letter bodies (head line to foot of ক) where no unit is given; angles are slopes: 0.1 is 6 degrees.
    """

    unsteadiness: float = 0.3  # of half a range: how far an image is from its hand's habit, standard deviation
    size: Range = (44.0, 84.0)  # pixels of a letter body
    aspect: Range = (0.8, 1.5)  # width over height, against the font's
    slant: Range = (-0.2, 0.35)  # of upright strokes, to the right
    slope: Range = (-0.12, 0.1)  # of the line that the hand keeps to, downwards
    ascent: Range = (0.8, 2.2)  # height of what stands above the head line, against the font's
    descent: Range = (0.8, 1.6)  # the same below the letter's foot
    parts: Range = (0.04, 0.25)  # by how much some parts are wider or higher: deviation of their scale's logarithm
    warp: Range = (0.01, 0.06)  # by how much a point is moved, smoothly over the glyph
    own_forms: Range = (0.2, 1.0)  # probability that a letter or sign is drawn as in letter_forms.yaml, if it is there
    signs: Range = (0.0, 0.12)  # by how much a sign (of a vowel, reph) is moved by itself: standard deviation
    looseness: Range = (0.005, 0.045)  # the same of each stroke, also of its turn and growth
    bow: Range = (0.0, 0.06)  # of a stroke's length, by which it bends: standard deviation
    loops: Range = (0.0, 0.8)  # by which small loops are wider than the font's, share
    roundness: Range = (0.3, 2.5)  # points of a stroke (23 are a letter body) over which corners are smoothed
    tremor: Range = (0.0, 0.006)  # standard deviation of a point
    overshoot: Range = (-0.05, 0.1)  # by which the ends of strokes are drawn on
    head_line: Range = (-0.15, 0.6)  # by which the head line's free ends are drawn on
    head_line_first: Range = (0.0, 1.0)  # probability that it begins over a vowel sign that stands before its letter
    head_line_missing: Range = (0.0, 0.1)  # probability
    head_line_lift: Range = (0.0, 0.2)  # probability of a gap in it
    pen: Range = (2.6, 8.0)  # pixels, width of a stroke
    contrast: Range = (0.0, 0.5)  # 0: the pen's own width everywhere; 1: the font's thick and thin
    pressure: Range = (0.03, 0.18)  # by how much the width varies along a stroke: deviation of its logarithm
    darkness: Range = (5.0, 75.0)  # gray level of the ink, 0 black
    paper: Range = (250.0, 255.0)  # gray level
    grain: Range = (0.3, 0.9)  # standard deviation of the paper's noise, gray levels
    softness: Range = (0.35, 1.0)  # pixels, standard deviation of the scanner's blur
    right: Range = (-24.0, 24.0)  # pixels, where the hand puts the letter, from the middle
    down: Range = (-10.0, 10.0)  # pixels
    cut: Range = (0.0, 0.25)  # probability that the letter runs over the image's edge, twice it where it is tall
    scraps: Range = (0.0, 0.1)  # probability of a form's line or a neighbour's ink at the border
