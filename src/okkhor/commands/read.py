"""./run.sh read image.png ... [run=<run>]: the grapheme in each photo, scan or drawing."""

import os
from collections.abc import Sequence
from pathlib import Path

from okkhor.errors import ConfigError
from okkhor.pipeline.reader import Reading, load_scan, open_reader
from okkhor.pipeline.run import name_run
from okkhor.rendering.graphemes import read_components
from okkhor.schema import HEADS
from okkhor.settings import CALLER, SETTINGS, load_arguments


def main(arguments: Sequence[str]) -> None:
    folder = Path(os.environ.get(CALLER, "."))
    paths = {argument: folder / os.path.expanduser(argument) for argument in arguments}  # noqa: PTH111 - ~nobody stays
    known = [argument for argument in arguments if "=" in argument and argument.partition("=")[0] in SETTINGS]
    images = [text for text in arguments if text not in known and ("=" not in text or paths[text].exists())]
    settings = [argument for argument in arguments if argument not in images]
    if not images:
        raise ConfigError("read: no image is named. For example: ./run.sh read photo.jpg run=sample")
    scans = [load_scan(paths[image]) for image in images]  # what can't be read is told first
    name = name_run(settings)
    reader = open_reader(name, load_arguments(settings).fold, settings)
    for image, reading in zip(images, reader.read(scans), strict=True):
        print_reading(image, reading)


def print_reading(image: str, reading: Reading) -> None:
    print(f"{image}: {reading.text}")
    for head, texts in zip(HEADS, read_components(), strict=True):
        label = reading.labels[head.name]
        print(f"  {head.name:20}{label:4}  {reading.probabilities[head.name][label]:.3f}  {texts[label]}".rstrip())
    nearest = reading.nearest
    if nearest.labels != reading.guesses[0].labels:
        print(f"  none of the competition's 1,295; the nearest of them: {nearest.text} {nearest.probability:.3f}")
    print("  likeliest: " + ", ".join(f"{guess.text} {guess.probability:.3f}" for guess in reading.guesses))
