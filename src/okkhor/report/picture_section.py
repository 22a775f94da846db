"""The pictures of a report: images that are read wrong, and class activations, as data addresses within the page."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from okkhor.errors import InputError, check_extra
from okkhor.label_triples import Labels
from okkhor.pipeline.inference import load_network
from okkhor.predictions import Predictions, take
from okkhor.report.page import Activation, HeadActivation
from okkhor.report.run_data import RunData
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.mistakes import confidently_wrong
from okkhor.training.device import Precision

NUM_PAIRS = 6  # most confused pairs of each head
NUM_EXAMPLES = 3  # images of each side of a pair
NUM_MISTAKES = 24  # most confidently wrong labels
NUM_ACTIVATIONS = 4  # images that are read right; as many are read wrong
MIN_PLACES = 6  # rows and columns of the feature map; finer ones show the strides (EXPERIMENTS.md)
MARKED = np.array((255, 140, 0))  # paper where the network looks most: red, green, blue


def picture_pairs(run: RunData) -> dict[str, list[Any]]:
    """For each head, the most confused pairs of classes.

    Rows of most_confused with two more columns of pictures: `wrong`, images that are read as the other class, and
    `right`, images of that class.
    """
    pairs = {}
    for head in HEAD_NAMES:
        labels, decoded, table = run.labels[head], run.decoded[head], run.tables["confused"]
        table = table[table["head"] == head].head(NUM_PAIRS)
        wrong = [embed_some(run, (labels == row.truth) & (decoded == row.decoded)) for row in table.itertuples()]
        right = [embed_some(run, (labels == row.decoded) & (decoded == row.decoded)) for row in table.itertuples()]
        pairs[head] = list(table.assign(wrong=wrong, right=right).itertuples())
    return pairs


def embed_some(run: RunData, chosen: NDArray[np.bool_]) -> list[str]:
    """The first few of the chosen images; none if the data folder is gone."""
    if run.images is None:
        return []
    return [embed(run.images[name]) for name in run.whole.image_ids[chosen][:NUM_EXAMPLES].tolist()]


def picture_mistakes(run: RunData) -> list[Any]:
    """The most confidently wrong labels: rows of confidently_wrong with the image's `grapheme` and `picture`."""
    table, images = run.tables["confident"].head(NUM_MISTAKES), run.images
    graphemes = [images.graphemes[name] if images else "" for name in table["image_id"]]
    pictures = [embed(images[name]) if images else "" for name in table["image_id"]]
    return list(table.assign(grapheme=graphemes, picture=pictures).itertuples())


def picture_activations(run: RunData, first: RunData) -> tuple[list[Activation], str]:
    """Where the first fold's network looks in the images of choose_images; or the reason why that is not shown.

    first: the run whose images are chosen, so that two runs show the same images if both have them.
    """
    if run.images is None:
        return [], ""
    try:
        check_extra("report", "torchcam", purpose="where the network looks")
    except InputError as error:
        return [], str(error)
    own, config = run.folds[0].predictions, run.config
    chosen = choose_images(first.folds[0].predictions)
    if not set(chosen) <= set(own.image_ids.tolist()):
        chosen = choose_images(own)
    precision = Precision(torch.device("cpu"), torch.float32)
    network = load_network(run.files.weights(run.files.folds[0]), config.model, config.data.size, precision)
    pixels = np.stack([run.images[image_id] for image_id in chosen])
    shown = take(own, pd.Index(own.image_ids).get_indexer(chosen))
    maps = map_activation(network, torch.from_numpy(pixels)[:, None], decode(shown.probabilities))
    if maps is None:
        return [], f"{config.model.backbone} has no feature map that shows where it looks."
    return [picture_activation(run, shown, maps, row) for row in range(len(shown))], ""


def map_activation(network: nn.Module, images: Tensor, labels: Labels) -> dict[str, NDArray[np.float32]] | None:
    """For each head, (B, H, W) float32, 0 to 1: how much each place speaks for the class in labels (B,).

    LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943) is Grad-CAM with a gradient for each place. So it may
    read an earlier, finer feature map than the last one, which has four places for an image of 48 pixels.

    images: (B, 1, H, W) uint8, on the network's device. None for a network without a feature map of MIN_PLACES rows
    and columns, such as a vision transformer, which has tokens.
    """
    from torchcam.methods import LayerCAM  # an extra, and slow to import

    network.eval()
    layer = find_layer(network, images[:1])
    if layer is None:
        return None
    maps = {}
    for name in HEAD_NAMES:
        with LayerCAM(network, layer) as extractor:
            (found,) = extractor(labels[name].tolist(), network(images)[name])
        smooth = functional.interpolate(found[:, None].float(), images.shape[2:], mode="bilinear", align_corners=False)
        maps[name] = smooth[:, 0].cpu().numpy()
    network.zero_grad(set_to_none=True)
    return maps


@torch.no_grad()
def find_layer(network: nn.Module, image: Tensor) -> str | None:
    """The name of the backbone's last module whose feature map has at least MIN_PLACES rows and columns."""
    shapes: dict[str, torch.Size] = {}  # in the order in which the modules end
    names = {module: name for name, module in network.get_submodule("backbone").named_modules(prefix="backbone")}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes[names[module]] = output.shape

    handles = [module.register_forward_hook(note) for module in names]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    if len(shapes["backbone"]) != 4:
        return None
    fine = [name for name, shape in shapes.items() if len(shape) == 4 and min(shape[2:]) >= MIN_PLACES]
    return fine[-1] if fine else None


def picture_activation(run: RunData, shown: Predictions, maps: dict[str, NDArray[np.float32]], row: int) -> Activation:
    """One image for each head, coloured by its map. maps: of the shown images, as map_activation gives them."""
    assert run.images is not None
    assert shown.labels is not None
    image_id, heads = str(shown.image_ids[row]), []
    for head in HEAD_NAMES:
        probabilities, texts = shown.probabilities[head][row], run.texts[head]
        decoded, truth = int(probabilities.argmax()), shown.labels[head][row]
        picture = embed(run.images[image_id], maps[head][row])
        heads.append(HeadActivation(head, texts[truth], texts[decoded], float(probabilities[decoded]), picture))
    return Activation(image_id, run.images.graphemes[image_id], heads)


def choose_images(predictions: Predictions) -> list[str]:
    """The ids of some images that are read right, and of those that are read wrong with the highest probability."""
    assert predictions.labels is not None
    decoded = decode(predictions.probabilities)
    right = np.all([decoded[head] == predictions.labels[head] for head in HEAD_NAMES], axis=0)
    ids = predictions.image_ids[right]
    chosen = np.random.default_rng(0).choice(ids, min(NUM_ACTIVATIONS, len(ids)), replace=False).tolist()
    wrong = confidently_wrong(predictions, decoded, len(predictions) * len(HEAD_NAMES))["image_id"]
    return chosen + wrong.drop_duplicates().head(NUM_ACTIVATIONS).tolist()


def embed(image: NDArray[np.uint8], activation: NDArray[np.float32] | None = None) -> str:
    """(H, W) uint8, bright ink on 0 -> a data address: dark ink on white paper, coloured by an activation (H, W)."""
    picture = 255 - image
    if activation is not None:
        paper, ink = 255 + activation[..., None] * (MARKED - 255.0), image[..., None] / 255
        picture = np.rint(paper * (1 - ink)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "webp", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
