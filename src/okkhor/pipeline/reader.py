"""What a run's networks read in an image of one grapheme: behind `./run.sh read`, the demo and okkhor.read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from okkhor.config import DataConfig
from okkhor.data.photos import MOST_PIXELS, Photo, describe_photo, read_photo, scan_photo
from okkhor.data.pixels import prepare_image
from okkhor.pipeline.inference import load_network
from okkhor.pipeline.run import Member, fold_folder, open_member
from okkhor.predictions import Predictions
from okkhor.rendering.graphemes import compose
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.ensembling import combine
from okkhor.settings import load_config, load_stored
from okkhor.training.device import Precision, choose_device, choose_precision
from okkhor.training.loop import join_batches
from okkhor.training.tta import infer_tta

NUM_GUESSES = 5
BATCH_SIZE = 64


@dataclass(frozen=True)
class Guess:
    """labels: in the order of HEADS. probability: the product of those of the three labels."""

    text: str
    labels: tuple[int, ...]
    probability: float


@dataclass(frozen=True)
class Reading:
    """What is read in one image. probabilities: for each head, (num_classes,) float32. guesses: the likeliest first."""

    probabilities: dict[str, NDArray[np.float32]]
    guesses: tuple[Guess, ...]

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

    member: Member
    networks: tuple[nn.Module, ...]
    data: DataConfig
    precision: Precision

    def read(self, scans: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """scans: (H, W) uint8, dark ink on white paper. The mean of all folds' networks."""
        prepared = np.stack([prepare_image(scan, self.data.size, self.data.crop_to_ink) for scan in scans])
        batches = torch.from_numpy(prepared).unsqueeze(1).split(BATCH_SIZE)
        names = np.array([str(number) for number in range(len(scans))])
        tables = [
            join_batches(infer_tta(network, batches, self.precision, self.member.num_views), names)
            for network in self.networks
        ]
        mean = combine(tables, names=[f"fold {fold}" for fold in self.member.folds])
        return [make_reading(mean, row) for row in range(len(scans))]


def make_reading(predictions: Predictions, row: int) -> Reading:
    probabilities = {name: predictions.probabilities[name][row] for name in HEAD_NAMES}
    likeliest = [np.argsort(-values, kind="stable")[:NUM_GUESSES].tolist() for values in probabilities.values()]
    guesses = []
    for labels in product(*likeliest):
        factors = [probabilities[name][label] for name, label in zip(HEAD_NAMES, labels, strict=True)]
        guesses.append(Guess(compose(labels), labels, math.prod(map(float, factors))))
    guesses.sort(key=lambda guess: -guess.probability)
    return Reading(probabilities, tuple(guesses[:NUM_GUESSES]))


def open_reader(name: str, fold: object = None, arguments: Sequence[str] = ()) -> Reader:
    """name: a run, or a variant of it as in ensembles. fold: None for all that are finished.

    arguments: settings over the run's own, such as train.device=cpu.
    """
    member = open_member(name, fold)
    config = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml", arguments)
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    networks = [load_network(member.weights(fold), config.model, config.data.size, precision) for fold in member.folds]
    return Reader(member, tuple(networks), config.data, precision)


def load_scan(photo: Photo, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """(IMAGE_HEIGHT, IMAGE_WIDTH) uint8. Raises InputError for what is no image, too large a one, and a blank one."""
    return scan_photo(read_photo(photo, most_pixels), describe_photo(photo))


def read_one(photo: Photo, run: str, fold: object) -> Reading:
    """As okkhor.read. Networks are kept between calls, until their files change."""
    name = run or default_run(Path.cwd())
    member = open_member(name, fold)
    weights = (member.weights(number).resolve() for number in member.folds)
    state = tuple((path, path.stat().st_mtime_ns if path.exists() else 0) for path in weights)
    return _keep_reader(name, tuple(member.folds), state).read([load_scan(photo)])[0]


@cache
def default_run(_folder: Path) -> str:
    """The run of the preset that fits this folder."""
    return load_config([]).run


@lru_cache(maxsize=4)
def _keep_reader(name: str, folds: tuple[int, ...], _state: tuple[tuple[Path, int], ...]) -> Reader:
    return open_reader(name, list(folds))
