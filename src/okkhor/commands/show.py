"""./run.sh show augment: a batch of train images before and after augmentation, as a picture."""

from collections.abc import Sequence

import numpy as np

from okkhor.commands.prepare import prepare
from okkhor.config import Config
from okkhor.data.augmentation import Augmentation
from okkhor.data.cache import open_cache
from okkhor.errors import ConfigError
from okkhor.reporting.batches import draw_batches
from okkhor.runs import RUNS
from okkhor.settings import load_config

NUM_IMAGES = 12  # beside each other
NUM_VERSIONS = 4  # of each, below it


def main(arguments: Sequence[str]) -> None:
    subject = arguments[0] if arguments and "=" not in arguments[0] else ""
    if subject not in SUBJECTS:
        found = f"show {subject}: no such subject" if subject else "show: no subject is named"
        raise ConfigError(f"{found}. Subjects: {', '.join(SUBJECTS)}. For example: ./run.sh show augment")
    SUBJECTS[subject](load_config(arguments[1:]))


def show_augmentation(config: Config) -> None:
    """The same images as they are, as epochs see them, and as the last epochs see them."""
    augmentation = Augmentation(config.augment)
    cache = open_cache(prepare(config).cache)
    choice = np.random.default_rng(config.seed).choice(len(cache), min(NUM_IMAGES, len(cache)), replace=False)
    images = cache[np.sort(choice)]
    versions = {"as they are": images}
    for version in range(1, NUM_VERSIONS + 1):
        versions[f"version {version}"] = augmentation(images, config.seed + version)
    versions["cooldown"] = augmentation(images, config.seed, cooldown=True)
    picture = RUNS / "show-augment.png"
    draw_batches(versions, picture)
    print(f"{picture}: {len(images)} images, augment.policy={config.augment.policy}.")


SUBJECTS = {"augment": show_augmentation}
