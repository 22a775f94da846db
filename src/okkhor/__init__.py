"""Okkhor: a competition pipeline for reading handwritten Bengali graphemes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from okkhor.data.photos import Photo
    from okkhor.pipeline.reader import Reading

__version__ = "0.1.0"


def read(image: "Photo", run: str = "", fold: object = None) -> "Reading":
    """Read the grapheme in a photo, scan or drawing with a run's networks.

    >>> reading = okkhor.read("photo.jpg", run="sample")
    >>> reading.text, reading.labels["grapheme_root"], reading.guesses[0].probability

    Parameters
    ----------
    image: a path, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or float from 0 to 1
    run: a run in ./runs, or a variant such as sample@tta5; default: the preset's run
    fold: a number, a list of numbers, or None for the mean of all finished folds

    Raises
    ------
    okkhor.errors.InputError: for a file that is no image, a blank image, or a run without a finished fold
    """
    from okkhor.pipeline.reader import read_one  # here, since it takes seconds: `import okkhor` takes none

    return read_one(image, run, fold)
