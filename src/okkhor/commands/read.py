"""./run.sh read image.png ... [run=<run>]: the grapheme in each photo, scan or drawing."""

import os
from collections.abc import Sequence
from pathlib import Path

from okkhor.errors import ConfigError
from okkhor.pipeline.reader import Reading, load_scan, open_reader
from okkhor.pipeline.run import name_run
from okkhor.rendering.graphemes import read_components
from okkhor.schema import HEADS
from okkhor.settings import load_arguments

CALLER = "OKKHOR_CALLER"
"""The variable with the folder in which run.sh was called: relative paths of images start there."""


def main(arguments: Sequence[str]) -> None:
    images = [argument for argument in arguments if "=" not in argument]
    settings = [argument for argument in arguments if "=" in argument]
    if not images:
        raise ConfigError("read: no image is named. For example: ./run.sh read photo.jpg run=sample")
    folder = Path(os.environ.get(CALLER, "."))
    scans = [load_scan(folder / image) for image in images]  # what can't be read is told first
    name = name_run(settings)
    reader = open_reader(name, load_arguments(settings).fold, settings)
    for image, reading in zip(images, reader.read(scans), strict=True):
        print_reading(image, reading)


def print_reading(image: str, reading: Reading) -> None:
    print(f"{image}: {reading.text}")
    for head, texts in zip(HEADS, read_components(), strict=True):
        label = reading.labels[head.name]
        print(f"  {head.name:20}{label:4}  {reading.probabilities[head.name][label]:.3f}  {texts[label]}".rstrip())
    print("  likeliest: " + ", ".join(f"{guess.text} {guess.probability:.3f}" for guess in reading.guesses))
