"""The pictures of a report: images that are read wrong, and where the network looks."""

import numpy as np
import torch
from numpy.typing import NDArray

from okkhor.errors import InputError, check_extra
from okkhor.pipeline.inference import load_network
from okkhor.predictions import Predictions, take
from okkhor.report.class_activation import map_attention
from okkhor.report.embedding import embed_attention, embed_ink
from okkhor.report.page import HeadLook, Look, Mistake, Pair
from okkhor.report.source import Source
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.mistakes import confidently_wrong
from okkhor.training.device import choose_device, choose_precision

NUM_PAIRS = 6  # most confused pairs of each head
NUM_EXAMPLES = 3  # images of each side of a pair
NUM_MISTAKES = 24  # most confidently wrong labels
NUM_LOOKS = 4  # images that are read right, and as many that are read wrong


def picture_pairs(source: Source) -> dict[str, list[Pair]]:
    """For each head, the most confused pairs, with images of both sides: those taken for another, and that other."""
    whole, decided = source.whole, decode(source.whole.probabilities)
    assert whole.labels is not None
    pairs: dict[str, list[Pair]] = {}
    for head in HEAD_NAMES:
        labels, read = whole.labels[head], decided[head]
        table = source.tables["confused"]
        pairs[head] = [
            Pair(
                truth=row.truth_text,
                decoded=row.decoded_text,
                images=row.images,
                share=row.share,
                wrong=embed_some(source, (labels == row.truth) & (read == row.decoded)),
                right=embed_some(source, (labels == row.decoded) & (read == row.decoded)),
            )
            for row in table[table["head"] == head].head(NUM_PAIRS).itertuples()
        ]
    return pairs


def embed_some(source: Source, chosen: NDArray[np.bool_]) -> list[str]:
    """The first few of the images; none where the data folder is gone."""
    if source.images is None:
        return []
    return [embed_ink(source.images[name]) for name in source.whole.image_ids[chosen][:NUM_EXAMPLES].tolist()]


def picture_mistakes(source: Source) -> list[Mistake]:
    """The labels that are wrong and were given with the highest probability."""
    images = source.images
    return [
        Mistake(
            image_id=row.image_id,
            head=row.head,
            truth=row.truth_text,
            decoded=row.decoded_text,
            probability=row.decoded_probability,
            truth_probability=row.truth_probability,
            grapheme=images.graphemes[row.image_id] if images else "",
            picture=embed_ink(images[row.image_id]) if images else "",
        )
        for row in source.tables["confident"].head(NUM_MISTAKES).itertuples()
    ]


def show_attention(source: Source, beside: Source) -> tuple[list[Look], str]:
    """Where the network of the first fold looks, in the images that choose_looks chooses; or why that is not shown.

    beside: the source whose images are chosen from, so that two runs are shown on the same ones where both have them.
    """
    if source.images is None:
        return [], ""
    try:
        check_extra("report", "torchcam", purpose="where the network looks")
    except InputError as error:
        return [], str(error)
    own = source.folds[0].predictions
    chosen = choose_looks(beside.folds[0].predictions)
    if not set(chosen) <= set(own.image_ids.tolist()):
        chosen = choose_looks(own)
    rows = {image_id: row for row, image_id in enumerate(own.image_ids.tolist())}
    shown = take(own, np.array([rows[image_id] for image_id in chosen]))
    decided = decode(shown.probabilities)
    precision = choose_precision("float32", choose_device("auto"))
    network = load_network(
        source.member.weights(source.member.folds[0]), source.config.model, source.config.data.size, precision
    )
    pixels = np.stack([source.images[image_id] for image_id in chosen])
    maps = map_attention(network, torch.from_numpy(pixels)[:, None].to(precision.device), decided)
    if maps is None:
        return [], f"{source.config.model.backbone} has no feature map that shows where it looks."
    looks = []
    for row, image_id in enumerate(chosen):
        heads = [make_look(source, shown, head, row, decided[head][row], maps[head][row]) for head in HEAD_NAMES]
        looks.append(Look(image_id, source.images.graphemes[image_id], heads))
    return looks, ""


def make_look(
    source: Source, shown: Predictions, head: str, row: int, decided: int, attention: NDArray[np.float32]
) -> HeadLook:
    """One head of one image. shown: the images that are looked at."""
    assert source.images is not None
    assert shown.labels is not None
    return HeadLook(
        head=head,
        truth=source.texts[head][shown.labels[head][row]],
        decoded=source.texts[head][decided],
        probability=float(shown.probabilities[head][row, decided]),
        picture=embed_attention(source.images[str(shown.image_ids[row])], attention),
    )


def choose_looks(predictions: Predictions) -> list[str]:
    """The ids of some images that are read right and of those that are read wrong with the highest probability."""
    assert predictions.labels is not None
    decided = decode(predictions.probabilities)
    right = np.all([decided[head] == predictions.labels[head] for head in HEAD_NAMES], axis=0)
    ids = predictions.image_ids[right]
    chosen = np.random.default_rng(0).choice(ids, min(NUM_LOOKS, len(ids)), replace=False).tolist()
    wrong = confidently_wrong(predictions, decided, len(predictions) * len(HEAD_NAMES))["image_id"]
    return chosen + wrong.drop_duplicates().head(NUM_LOOKS).tolist()
