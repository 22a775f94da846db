"""One backbone, three heads, and a fourth over whole graphemes where asked for."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError
from okkhor.models.backbone import create_backbone
from okkhor.models.heads import ClassificationHead, ConsonantPartsLinear, CosineLinear, check_graphemes, log_marginals
from okkhor.models.small_convolutions import multiply_small_maps
from okkhor.models.weights import GRAPHEME_LABELS
from okkhor.schema import GRAPHEME, HEADS

# Of the competition's train images, cropped to the ink, ink bright on 0, at 128 x 128, divided by 255; from a public
# kernel. Batch norm makes the network forgiving: it is only to start near mean 0 and variance 1.
PIXEL_MEAN = 0.0692
PIXEL_STD = 0.2051


class ThreeHeadNetwork(nn.Module):
    """Images (B, 1, H, W) uint8, ink bright on 0 -> for each head by name, logits (B, num_classes).

    feature_shape: of one image's features: (1, C, h, w), which each head pools, or (1, C), pooled by the backbone.
    graphemes: (G, 3) int64, where model.graphemes asks for a head over them. It gives logits (B, G) under the name
    "grapheme" in training; in evaluation what it says about the classes of each head, under the names of MARGINALS.
    """

    grapheme_labels: Tensor

    def __init__(
        self, backbone: nn.Module, feature_shape: torch.Size, model: ModelConfig, graphemes: Tensor | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        pooling = model.pooling if len(feature_shape) == 4 else None
        make_head = partial(
            ClassificationHead, feature_shape[1], pooling=pooling, hidden=model.hidden, dropout=model.dropout
        )
        self.heads = nn.ModuleDict()
        for head in HEADS:
            in_parts = head.name == "consonant_diacritic" and model.consonant == "parts"
            self.heads[head.name] = make_head(
                num_classes=head.num_classes, last_layer=ConsonantPartsLinear if in_parts else nn.Linear
            )
        if graphemes is not None:
            check_graphemes(graphemes)
            self.heads[GRAPHEME] = make_head(
                num_classes=len(graphemes), last_layer=CosineLinear if model.graphemes == "arcface" else nn.Linear
            )
            self.register_buffer(GRAPHEME_LABELS, graphemes.clone())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.backbone(normalise(images))
        logits = {name: head(features) for name, head in self.heads.items()}
        if GRAPHEME in logits and not self.training:
            logits |= log_marginals(logits.pop(GRAPHEME), self.grapheme_labels)
        return logits


def normalise(images: Tensor) -> Tensor:
    """uint8 -> float32 of about mean 0 and variance 1, of the same shape: (x / 255 - mean) / std in two passes."""
    assert images.dtype == torch.uint8, f"expected uint8 images, which the network normalises itself: {images.dtype}"
    return images.float().mul_(1 / (255 * PIXEL_STD)).sub_(PIXEL_MEAN / PIXEL_STD)


def create_network(
    model: ModelConfig, image_size: int, graphemes: Tensor | NDArray[np.int64] | None = None
) -> ThreeHeadNetwork:
    """The network for images of image_size x image_size pixels, with random heads, on the CPU.

    graphemes: (G, 3) int64, the labels of each grapheme in the order of HEADS, of the train set or from
    read_graphemes; needed where model.graphemes is not "none", else ignored.
    model.pretrained=true downloads weights: where a trained network is loaded, pass replace(model, pretrained=False).
    Raises ConfigError for a backbone that is unknown or doesn't fit, InputError for weights that can't be had.
    """
    has_graphemes = model.graphemes != "none"
    assert graphemes is not None or not has_graphemes, f"model.graphemes={model.graphemes}: of which graphemes?"
    backbone, feature_shape = create_backbone(model.backbone, model.pretrained, image_size)
    if model.pooling != "average" and len(feature_shape) != 4:
        raise ConfigError(
            f"model.pooling={model.pooling}: {model.backbone} has no feature map (B, C, H, W) to pool; timm pools its "
            "tokens. Set model.pooling=average."
        )
    labels = torch.as_tensor(graphemes) if has_graphemes else None
    return ThreeHeadNetwork(backbone, feature_shape, model, labels)


def place_network(network: ThreeHeadNetwork, device: torch.device) -> ThreeHeadNetwork:
    """Move it to the device, laid out as is fastest there; weights, their names and the results stay."""
    if device.type == "cpu":
        multiply_small_maps(network)
    # channels_last: 1.1 to 1.8 times as fast in convolutions, on CPUs and in half precision on GPUs
    return network.to(device).to(memory_format=torch.channels_last)
