"""The settings of rendered images, groups of config.Config: the sample, and the hands that write it."""

from dataclasses import dataclass

from okkhor.config_field import Range, setting


@dataclass(frozen=True)
class SampleConfig:
    """The data set that is rendered from fonts where Kaggle's files are absent."""

    root: str = setting("input/sample", "Folder rendered into, when data.root is it and has no train.csv", "path")
    num_graphemes: int = setting(1295, "Graphemes in train, the first ones of the real train's 1,295", "", 2, 1295)
    images_per_grapheme: int = setting(12, "Train images of each grapheme", "images", 1, 10_000)
    test_images: int = setting(2000, "Test images, by writers that train lacks", "images", 1, 1_000_000)
    unseen_graphemes: int = setting(70, "Graphemes that only test has, an image each: 3.5 % as Kaggle's", "", 0, 1000)
    num_writers: int = setting(60, "Writers of train; a writer is a font with habits of its own", "", 1, 10_000)
    num_test_writers: int = setting(20, "Writers of test", "", 1, 10_000)
    num_shards: int = setting(4, "Parquet files of train, and of test", "files", 1, 1000)
    font_dirs: tuple[str, ...] = setting((), "Folders of your own Bengali fonts (ttf, otf), added to ours", "path")
    seed: int = setting(0, "Fixes every pixel", "", 0, 2**32 - 1)
    processes: int = setting(0, "Processes that render; 0: one for each core", "processes", 0, 256)


BODIES = "letter bodies"
SLOPE, CHANCE = "slope", "probability"


@dataclass(frozen=True)
class HandConfig:
    """How writers differ. A writer draws a habit from each range.

    A letter body is the height from the head line to the foot of ক. A slope of 0.1 is an angle of 6 degrees. A spread
    is a standard deviation.
    """

    unsteadiness: float = setting(0.3, "Spread of images about their writer's habits", "half a range", 0, 2)
    size: Range = setting((44.0, 84.0), "Height of a letter body", "pixels", 1, 500)
    aspect: Range = setting((0.95, 1.75), "Width over height, against the font's", "factor", 0.1, 10)
    slant: Range = setting((-0.15, 0.25), "Lean of upright strokes, to the right", SLOPE, -2, 2)
    slope: Range = setting((-0.08, 0.07), "Fall of the line that the writer keeps to", SLOPE, -2, 2)
    ascent: Range = setting((0.8, 2.2), "Height above the head line, against the font's", "factor", 0.1, 10)
    descent: Range = setting((0.8, 1.6), "Depth below the letter's foot, against the font's", "factor", 0.1, 10)
    parts: Range = setting((0.04, 0.25), "Spread of the scale of a glyph's parts", "its logarithm", 0, 1)
    warp: Range = setting((0.01, 0.06), "Smooth displacement of points over the glyph", BODIES, 0, 1)
    own_forms: Range = setting((0.2, 1.0), "A letter or sign takes its form of letter_forms.yaml", CHANCE, 0, 1)
    signs: Range = setting((0.0, 0.12), "Spread by which a sign (vowel, reph) moves by itself", BODIES, 0, 1)
    looseness: Range = setting((0.005, 0.045), "Spread by which a stroke moves, turns and grows", BODIES, 0, 1)
    bow: Range = setting((0.0, 0.06), "Spread by which a stroke bends", "share of its length", 0, 1)
    loops: Range = setting((0.0, 0.8), "Widening of small loops, against the font's", "share", 0, 3)
    # 0 would be another standard deviation to OpenCV, not none
    roundness: Range = setting((0.3, 2.5), "Smoothing of corners; 23 points are a letter body", "points", 0.01, 100)
    tremor: Range = setting((0.0, 0.006), "Spread by which single points move", BODIES, 0, 1)
    overshoot: Range = setting((-0.05, 0.1), "Length by which strokes are drawn past their ends", BODIES, -1, 1)
    head_line: Range = setting((-0.15, 0.3), "Length by which the head line is drawn past its free ends", BODIES, -1, 2)
    head_line_first: Range = setting((0.0, 1.0), "Head line begins over the sign before its letter", CHANCE, 0, 1)
    head_line_missing: Range = setting((0.0, 0.1), "Head line is left out", CHANCE, 0, 1)
    head_line_lift: Range = setting((0.0, 0.2), "Head line has a gap", CHANCE, 0, 1)
    pen: Range = setting((2.2, 7.0), "Width of a stroke", "pixels", 0.5, 50)
    contrast: Range = setting((0.0, 0.5), "0: the pen's width everywhere; 1: the font's thick and thin", "share", 0, 1)
    pressure: Range = setting((0.03, 0.18), "Spread of the width along a stroke", "its logarithm", 0, 1)
    darkness: Range = setting((5.0, 75.0), "Gray of the ink; 0 is black", "gray levels", 0, 255)
    paper: Range = setting((250.0, 255.0), "Gray of the paper", "gray levels", 0, 255)
    grain: Range = setting((0.3, 0.9), "Standard deviation of the paper's noise", "gray levels", 0, 100)
    softness: Range = setting((0.35, 1.0), "Standard deviation of the scanner's blur", "pixels", 0.05, 10)
    right: Range = setting((-24.0, 24.0), "Letter's place, right of the image's middle", "pixels", -236, 236)
    down: Range = setting((-10.0, 10.0), "Letter's place, below the image's middle", "pixels", -137, 137)
    cut: Range = setting((0.0, 0.1), "Letter runs over the image's edge, twice as often if tall", CHANCE, 0, 1)
    scraps: Range = setting((0.0, 0.1), "A form's line or a neighbour's ink is at the border", CHANCE, 0, 1)
