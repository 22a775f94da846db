"""`plan_sample` chooses the grapheme, the hand and the split of each image of the sample, before any is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
from numpy.random import Generator

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.rendering.fonts import Face, find_faces, shapes_well
from okkhor.rendering.graphemes import Grapheme, order_by_coverage, read_graphemes, unseen_candidates
from okkhor.rendering.hands import Hand, make_hands

T = TypeVar("T")
Graphemes = Sequence[Grapheme]

SPLITS = ("train", "test")
UNSEEN_PRIVATE = 0.88  # share of the competition's test images of unseen graphemes that were private
SEEN_PRIVATE = 0.52  # of the other images: 112,381 of 211,042 test images were private, unseen ones included


@dataclass(frozen=True)
class Item:
    """An image to draw. number: of the image within its split, as in its image_id."""

    number: int
    grapheme: Grapheme
    hand: Hand
    usage: Literal["Public", "Private"] | None = None  # None in train


Plan = Mapping[str, Sequence[Item]]
"""The images of each of SPLITS, in the order of their numbers."""


def plan_sample(sample: SampleConfig, ranges: HandConfig) -> Plan:
    """Return the images that the settings ask for; the same settings give the same plan."""
    handwritten, others = find_faces(sample.font_dirs)
    seeds = np.random.SeedSequence(sample.seed).spawn(4)
    for_hands, for_test_hands, for_train, for_test = (np.random.default_rng(seed) for seed in seeds)
    graphemes = order_by_coverage(read_graphemes())[: sample.num_graphemes]
    hands = make_hands(handwritten, others, sample.num_writers, ranges, for_hands)
    test_hands = make_hands(handwritten, others, sample.num_test_writers, ranges, for_test_hands)
    unseen = choose_unseen(graphemes, sample, handwritten, for_test)
    return {
        "train": plan_train(graphemes, hands, sample.images_per_grapheme, for_train),
        "test": plan_test(graphemes, unseen, test_hands, sample.test_images, for_test),
    }


def choose_unseen(train: Graphemes, sample: SampleConfig, face: Face, generator: Generator) -> list[Grapheme]:
    """Choose sample.unseen_graphemes graphemes that train lacks and the face shapes well."""
    num = sample.unseen_graphemes
    if num > sample.test_images:
        raise InputError(f"sample.unseen_graphemes is {num}; sample.test_images={sample.test_images} is the most")
    able = (grapheme for grapheme in unseen_candidates(train, generator) if shapes_well(face, grapheme.text))
    chosen = list(islice(able, num))
    if len(chosen) < num:
        raise InputError(
            f"sample.unseen_graphemes is {num}, but {len(train)} train graphemes leave only {len(chosen)}: "
            "lower it or raise sample.num_graphemes"
        )
    return chosen


def plan_train(graphemes: Graphemes, hands: Sequence[Hand], num_each: int, generator: Generator) -> list[Item]:
    """Plan `num_each` images of each grapheme, by as many hands as possible, in random order."""
    pairs = [(grapheme, hand) for grapheme in graphemes for hand in choose_hands(grapheme, hands, num_each, generator)]
    return [Item(number, *pairs[index]) for number, index in enumerate(generator.permutation(len(pairs)))]


def plan_test(
    graphemes: Graphemes, unseen: Graphemes, hands: Sequence[Hand], num_images: int, generator: Generator
) -> list[Item]:
    """Plan one image of each unseen grapheme, the rest spread evenly over the train graphemes, in random order."""
    seen = take_in_turn(graphemes, num_images - len(unseen), generator)
    pairs = [(grapheme, SEEN_PRIVATE) for grapheme in seen] + [(grapheme, UNSEEN_PRIVATE) for grapheme in unseen]
    items = []
    for number, index in enumerate(generator.permutation(len(pairs))):
        grapheme, private = pairs[index]
        hand = choose_hands(grapheme, hands, 1, generator)[0]
        items.append(Item(number, grapheme, hand, "Private" if generator.random() < private else "Public"))
    return items


def choose_hands(grapheme: Grapheme, hands: Sequence[Hand], num_images: int, generator: Generator) -> list[Hand]:
    """Choose a hand for each image of a grapheme, in turn among those whose font shapes it."""
    able = [hand for hand in hands if shapes_well(hand.face, grapheme.text)]
    if not able:
        raise InputError(
            f"No hand's font shapes {grapheme.text}: sample.num_writers and sample.num_test_writers must be 2 or more"
        )
    return take_in_turn(able, num_images, generator)


def take_in_turn(choices: Sequence[T], num: int, generator: Generator) -> list[T]:
    """Draw `num` items in shuffled rounds: no item repeats before every other has been drawn."""
    rounds = -(-num // len(choices))
    return [choices[index] for _ in range(rounds) for index in generator.permutation(len(choices))][:num]
