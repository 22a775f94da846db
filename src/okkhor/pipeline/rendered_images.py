"""`add_rendered`: images that are rendered anew for each epoch, beside a fold's real images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from okkhor.config import Config
from okkhor.data.pixels import prepare_image
from okkhor.data.tables import read_csv
from okkhor.errors import ConfigError, InputError
from okkhor.label_triples import Labels, find_triples
from okkhor.pipeline.run import Run
from okkhor.pipeline.training_set import TrainingSet
from okkhor.rendering.drawing import FreshImages
from okkhor.rendering.fonts import Face, find_faces, shapes_well
from okkhor.rendering.graphemes import Grapheme, label_grapheme, read_graphemes, spelling, unseen_candidates
from okkhor.schema import GRAPHEME, HEAD_NAMES


def add_rendered(training: TrainingSet, config: Config, train: pd.DataFrame, fold: int) -> TrainingSet:
    """Add rendered images, and their graphemes to those of the grapheme head. train: the fold's rows of train.csv."""
    rendered = choose_rendered(config, train, len(training.rows))
    triples = np.array([grapheme.labels for grapheme in rendered], np.int64)
    path = Run(config.run).fold(fold) / "rendered.npy"
    extended = training.extended(path, np.arange(len(rendered)), Labels(triples))
    new = triples[find_triples(Labels(triples), training.graphemes) < 0]
    graphemes = np.concatenate([training.graphemes, np.unique(new, axis=0)])
    renderer = EpochRenderer(plan_fresh_images(config, rendered), path)
    return replace(extended, graphemes=graphemes, prepare_epoch=renderer)


def choose_rendered(config: Config, train: pd.DataFrame, num_images: int) -> list[Grapheme]:
    """The grapheme of each image to render beside num_images others, equal ones beside each other.

    train: the rows of train.csv that the fold trains on. Raises InputError for a grapheme without labels or font.
    """
    share = config.data.rendered_fraction
    graphemes = choose_graphemes(config, train)
    num = round(num_images * share / (1 - share))
    order = np.random.default_rng(config.seed).permutation(len(graphemes))
    times = np.full(len(graphemes), num // len(graphemes))
    times[order[: num % len(graphemes)]] += 1
    return [grapheme for grapheme, count in zip(graphemes, times, strict=True) for _ in range(count)]


def choose_graphemes(config: Config, train: pd.DataFrame) -> list[Grapheme]:
    """What data.rendered_graphemes names, each once."""
    named = config.data.rendered_graphemes
    faces = flatten_faces(config)
    if named not in ("train", "grammar"):
        graphemes = read_list(Path(named))
    else:
        rows = train.drop_duplicates(GRAPHEME)[[GRAPHEME, *HEAD_NAMES]].itertuples(index=False)
        graphemes = [Grapheme(text, (int(root), int(vowel), int(consonant))) for text, root, vowel, consonant in rows]
    for grapheme in graphemes:
        if not any(shapes_well(face, grapheme.text) for face in faces):
            raise InputError(f"data.rendered_fraction: no font shapes the grapheme '{grapheme.text}' of {named}.")
    if named == "grammar":
        generator = np.random.default_rng(config.seed)
        texts = {spelling(grapheme.text) for grapheme in graphemes}
        extra = [one for one in read_graphemes() if spelling(one.text) not in texts]  # a fold may hold them out
        extra += unseen_candidates([*graphemes, *extra], generator)
        graphemes += [grapheme for grapheme in extra if any(shapes_well(face, grapheme.text) for face in faces)]
    return graphemes


def flatten_faces(config: Config) -> tuple[Face, ...]:
    handwritten, others = find_faces(config.sample.font_dirs)
    return (handwritten, *others)


def read_list(path: Path) -> list[Grapheme]:
    """The graphemes of a csv's column `grapheme`, with the labels that the grammar gives them."""
    if not path.is_file():
        raise ConfigError(
            f"data.rendered_graphemes={path}: expected train, grammar, or a csv with the column grapheme."
        )
    listed = read_csv(path, (GRAPHEME,))[GRAPHEME]
    texts = listed[~listed.map(spelling).duplicated()]
    found = {text: label_grapheme(text) for text in texts}
    for text, labels in found.items():
        if labels is None:
            raise InputError(f"{path}: '{text}' has no labels: it is not made of the classes of class_map.csv.")
    if not found:
        raise InputError(f"{path}: no grapheme is named.")
    return [Grapheme(text, labels) for text, labels in found.items() if labels is not None]


def plan_fresh_images(config: Config, graphemes: list[Grapheme]) -> FreshImages:
    """Say how to draw the images of an epoch."""
    handwritten, others = find_faces(config.sample.font_dirs)
    return FreshImages(
        texts=[grapheme.text for grapheme in graphemes],
        size=config.data.size,
        handwritten=handwritten,
        others=others,
        ranges=config.hand,
        prepare=partial(prepare_image, size=config.data.size, crop_to_ink=config.data.crop_to_ink),
        seed=config.seed,
        processes=config.sample.processes,
    )


@dataclass
class EpochRenderer:
    """Renders the images of an epoch into a file: new images for each epoch."""

    fresh: FreshImages
    path: Path
    drawn: int | None = None  # the epoch that the file's images were drawn for

    def __call__(self, epoch: int, should_stop: Callable[[], bool]) -> None:
        if epoch != self.drawn:
            self.fresh.render(self.path, epoch, should_stop)
            self.drawn = epoch
