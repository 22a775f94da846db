"""`Reader`: what a run's networks read in an image of one grapheme; behind `./run.sh read`, the demo, okkhor.read."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from okkhor.data.photos import MOST_PIXELS, Photo, describe_photo, read_photo, scan_photo
from okkhor.data.pixels import prepare_image
from okkhor.pipeline.inference import Networks
from okkhor.pipeline.prediction import open_networks
from okkhor.pipeline.run import Run
from okkhor.predictions import Predictions
from okkhor.rendering.graphemes import compose, read_graphemes
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.ensembling import combine
from okkhor.settings import load_config

NUM_GUESSES = 5


# gunicorn's preload, multiprocessing: a fork has none of OpenMP's threads, and waiting for them hangs. OpenCV notices a
# fork itself; its setNumThreads(1) would wait for its threads.
os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))


@dataclass(frozen=True)
class Guess:
    """A text that an image may show. labels: in the order of HEADS. probability: the product of the three labels'."""

    text: str
    labels: tuple[int, ...]
    probability: float


@dataclass(frozen=True)
class Reading:
    """What is read in one image. probabilities: for each head, (num_classes,) float32. guesses: the likeliest first.

    nearest: the likeliest of the competition's 1,295 graphemes; the first guess, if it is one of them.
    """

    probabilities: dict[str, NDArray[np.float32]]
    guesses: tuple[Guess, ...]
    nearest: Guess

    @property
    def text(self) -> str:
        return self.guesses[0].text

    @property
    def labels(self) -> dict[str, int]:
        """The likeliest label of each head."""
        return dict(zip(HEAD_NAMES, self.guesses[0].labels, strict=True))


@dataclass(frozen=True)
class Reader:
    """The networks of a run's folds, ready to read."""

    networks: Networks

    def read(self, scans: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """Read scans, (H, W) uint8, dark ink on white paper, by the mean of all networks."""
        data = self.networks.data
        prepared = np.stack([prepare_image(scan, data.size, data.crop_to_ink) for scan in scans])
        names = np.array([str(number) for number in range(len(scans))])
        mean = combine(self.networks.predict(prepared, names), names=list(self.networks.by_name))
        return [make_reading(mean, row) for row in range(len(scans))]


def make_reading(predictions: Predictions, row: int) -> Reading:
    probabilities = {name: predictions.probabilities[name][row] for name in HEAD_NAMES}
    likeliest = [np.argsort(-values, kind="stable")[:NUM_GUESSES].tolist() for values in probabilities.values()]
    guesses = []
    for labels in product(*likeliest):
        factors = [probabilities[name][label] for name, label in zip(HEAD_NAMES, labels, strict=True)]
        guesses.append(Guess(compose(labels), labels, math.prod(map(float, factors))))
    guesses.sort(key=lambda guess: -guess.probability)
    graphemes = read_graphemes()
    triples = np.array([grapheme.labels for grapheme in graphemes])
    products = np.prod([probabilities[name][triples[:, k]] for k, name in enumerate(HEAD_NAMES)], axis=0)
    best = int(products.argmax())
    nearest = Guess(graphemes[best].text, graphemes[best].labels, float(products[best]))
    return Reading(probabilities, tuple(guesses[:NUM_GUESSES]), nearest)


def open_reader(name: str, fold: object = None, arguments: Sequence[str] = ()) -> Reader:
    """Load the networks of a run, or of a variant of it; `key=value` arguments change the run's settings."""
    run = Run.open(name, fold)
    return Reader(replace(open_networks(run.config(arguments), run), batch_size=64))


def load_scan(photo: Photo, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Turn a photo into a scan, (IMAGE_HEIGHT, IMAGE_WIDTH) uint8. Raises InputError for what is no image of ink."""
    return scan_photo(read_photo(photo, most_pixels), describe_photo(photo))


def read_one(photo: Photo, run: str, fold: object) -> Reading:
    """Do what okkhor.read does. Networks are kept between calls, until their files change."""
    name = run or default_run(Path.cwd())
    found = Run.open(name, fold)
    weights = (found.weights(number).resolve() for number in found.folds)
    state = tuple((path, path.stat().st_mtime_ns if path.exists() else 0) for path in weights)
    return _keep_reader(name, found.folds, state).read([load_scan(photo)])[0]


@cache
def default_run(_folder: Path) -> str:
    """Return the run of the preset that fits this folder."""
    return load_config([]).run


@lru_cache(maxsize=4)
def _keep_reader(name: str, folds: tuple[int, ...], _state: tuple[tuple[Path, int], ...]) -> Reader:
    return open_reader(name, list(folds))
