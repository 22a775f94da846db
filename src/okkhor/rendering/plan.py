"""Which images the sample has: the grapheme, the writer and the split of each, before any is drawn."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.rendering.fonts import Face, find_faces, shapes_well
from okkhor.rendering.graphemes import Grapheme, order_by_coverage, read_graphemes, unseen_candidates
from okkhor.rendering.hands import Writer, make_writers

T = TypeVar("T")

SPLITS = ("train", "test")
UNSEEN_PRIVATE = 0.88  # share of the competition's test images of unseen graphemes that were private
SEEN_PRIVATE = 0.52  # of the other images: 112,381 of 211,042 test images were private, unseen ones included


@dataclass(frozen=True)
class Item:
    """An image to draw. number: of the image within its split, as in its image_id."""

    number: int
    grapheme: Grapheme
    writer: Writer
    usage: Literal["Public", "Private"] | None = None  # None in train


@dataclass(frozen=True)
class Plan:
    """All images of both splits, each in the order of their numbers."""

    train: list[Item]
    test: list[Item]

    def of(self, split: str) -> list[Item]:
        """The images of train or test."""
        return {"train": self.train, "test": self.test}[split]


def plan_sample(sample: SampleConfig, ranges: HandConfig) -> Plan:
    """The images that the settings ask for; the same settings give the same plan."""
    check_counts(sample)
    handwritten, others = find_faces(sample.font_dirs)
    seeds = np.random.SeedSequence(sample.seed).spawn(4)
    writer_seed, test_writer_seed, train_seed, test_seed = (np.random.default_rng(seed) for seed in seeds)
    graphemes = order_by_coverage(read_graphemes())[: sample.num_graphemes]
    writers = make_writers(handwritten, others, sample.num_writers, ranges, writer_seed)
    test_writers = make_writers(handwritten, others, sample.num_test_writers, ranges, test_writer_seed)
    unseen = choose_unseen(graphemes, sample.unseen_graphemes, handwritten, test_seed)
    return Plan(
        train=plan_train(graphemes, writers, sample.images_per_grapheme, train_seed),
        test=plan_test(graphemes, unseen, test_writers, sample.test_images, test_seed),
    )


def check_counts(sample: SampleConfig) -> None:
    """An InputError where a number of the settings makes no sample."""
    limits = {"num_graphemes": (1, len(read_graphemes())), "unseen_graphemes": (0, sample.test_images)}
    for name in ("num_graphemes", "images_per_grapheme", "test_images", "unseen_graphemes", "num_shards", "processes"):
        found = getattr(sample, name)
        low, high = limits.get(name, (0 if name == "processes" else 1, sys.maxsize))
        if not low <= found <= high:
            expected = f"{low} or more" if high == sys.maxsize else f"{low} to {high}"
            raise InputError(f"sample.{name} is {found}; it must be {expected}")


def choose_unseen(
    train: Sequence[Grapheme], num_unseen: int, face: Face, generator: np.random.Generator
) -> list[Grapheme]:
    """Graphemes that train lacks and the face shapes well."""
    chosen: list[Grapheme] = []
    for grapheme in unseen_candidates(train, generator):
        if len(chosen) == num_unseen:
            break
        if shapes_well(face, grapheme.text):
            chosen.append(grapheme)
    if len(chosen) < num_unseen:
        raise InputError(
            f"sample.unseen_graphemes is {num_unseen}, but {len(train)} train graphemes leave only {len(chosen)}: "
            "lower it or raise sample.num_graphemes"
        )
    return chosen


def plan_train(
    graphemes: Sequence[Grapheme], writers: Sequence[Writer], images_per_grapheme: int, generator: np.random.Generator
) -> list[Item]:
    """So many images of each grapheme, by writers as different as can be, in random order."""
    pairs = [
        (grapheme, writer)
        for grapheme in graphemes
        for writer in choose_writers(grapheme, writers, images_per_grapheme, generator)
    ]
    return [Item(number, *pairs[index]) for number, index in enumerate(generator.permutation(len(pairs)))]


def plan_test(
    graphemes: Sequence[Grapheme],
    unseen: Sequence[Grapheme],
    writers: Sequence[Writer],
    num_images: int,
    generator: np.random.Generator,
) -> list[Item]:
    """One image of each unseen grapheme, the rest spread evenly over the train graphemes, in random order."""
    seen = take_in_turn(graphemes, num_images - len(unseen), generator)
    pairs = [(grapheme, SEEN_PRIVATE) for grapheme in seen] + [(grapheme, UNSEEN_PRIVATE) for grapheme in unseen]
    items = []
    for number, index in enumerate(generator.permutation(len(pairs))):
        grapheme, private = pairs[index]
        writer = choose_writers(grapheme, writers, 1, generator)[0]
        items.append(Item(number, grapheme, writer, "Private" if generator.random() < private else "Public"))
    return items


def choose_writers(
    grapheme: Grapheme, writers: Sequence[Writer], num_images: int, generator: np.random.Generator
) -> list[Writer]:
    """A writer for each of so many images, none twice before all came once, of those whose font has the grapheme."""
    able = [writer for writer in writers if shapes_well(writer.face, grapheme.text)]
    if not able:
        raise InputError(
            f"No writer's font shapes {grapheme.text}: sample.num_writers and sample.num_test_writers must be 2 or more"
        )
    return take_in_turn(able, num_images, generator)


def take_in_turn(choices: Sequence[T], num: int, generator: np.random.Generator) -> list[T]:
    """So many of the choices in random order, none once more before all came as often."""
    rounds = -(-num // len(choices))
    return [choices[index] for _ in range(rounds) for index in generator.permutation(len(choices))][:num]
