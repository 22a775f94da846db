"""./run.sh show augment, ./run.sh show sample: draw what the settings do to images."""

from collections.abc import Sequence

import numpy as np

from okkhor.config import Config
from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.errors import ConfigError
from okkhor.pipeline.prepared import prepare
from okkhor.pipeline.run import RUNS
from okkhor.plots import draw_batches
from okkhor.rendering.drawing import draw_grapheme
from okkhor.rendering.fonts import find_faces, shapes_well
from okkhor.rendering.graphemes import read_graphemes
from okkhor.rendering.hands import make_hands
from okkhor.settings import load_config

NUM_IMAGES = 12  # in a row
NUM_VERSIONS = 4  # augmented, of each image
NUM_GRAPHEMES = 14  # rows
NUM_HANDS = 8  # columns


def main(arguments: Sequence[str]) -> None:
    subject = arguments[0] if arguments and "=" not in arguments[0] else ""
    if subject not in SUBJECTS:
        found = f"show {subject}: no such subject" if subject else "show: no subject is named"
        raise ConfigError(f"{found}. Subjects: {', '.join(SUBJECTS)}. For example: ./run.sh show augment")
    SUBJECTS[subject](load_config(arguments[1:]))


def show_augmentation(config: Config) -> None:
    """Draw the same images unchanged and as several epochs see them."""
    augmentation = Augmentation(config.augment)
    cache = open_cache(prepare(config).cache)
    choice = np.random.default_rng(config.seed).choice(len(cache), min(NUM_IMAGES, len(cache)), replace=False)
    images = cache[np.sort(choice)]
    versions = {"unchanged": images}
    for version in range(1, NUM_VERSIONS + 1):
        versions[f"version {version}"] = augmentation(images, config.seed + version)
    picture = RUNS / "show-augment.png"
    draw_batches(versions, picture)
    print(f"{picture}: {len(images)} images, augment.policy={config.augment.policy}.")


def show_sample(config: Config) -> None:
    """Draw rendered scans: a row for each grapheme, a column for each hand."""
    generator = np.random.default_rng(config.seed)
    handwritten, others = find_faces(config.sample.font_dirs)
    hands = make_hands(handwritten, others, NUM_HANDS, config.hand, generator)
    faces = {hand.face for hand in hands}
    able = [grapheme for grapheme in read_graphemes() if all(shapes_well(face, grapheme.text) for face in faces)]
    chosen = [able[index] for index in generator.choice(len(able), NUM_GRAPHEMES, replace=False)]
    rows = {}
    for grapheme in chosen:
        scans = [draw_grapheme(grapheme.text, hand, config.hand, generator) for hand in hands]
        rows[" ".join(map(str, grapheme.labels))] = 255 - np.stack(scans)  # ink bright, as draw_batches takes it
    picture = RUNS / "show-sample.png"
    draw_batches(rows, picture)
    print(f"{picture}: {' '.join(grapheme.text for grapheme in chosen)}, each by {NUM_HANDS} hands.")


SUBJECTS = {"augment": show_augmentation, "sample": show_sample}
