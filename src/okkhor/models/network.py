"""create_network: one backbone, three heads and, with model.graphemes, a fourth head over whole graphemes."""

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

# Mean and standard deviation of the competition's train images, cropped to the ink, ink bright on 0, at 128 x 128
# pixels, divided by 255; from a public kernel. Rough values do: batch norm corrects them.
PIXEL_MEAN = 0.0692
PIXEL_STD = 0.2051


class ThreeHeadNetwork(nn.Module):
    """Images (B, 1, H, W) uint8, ink bright on 0 -> for each head by name, logits (B, num_classes).

    feature_shape: of one image's features: (1, C, h, w), which each head pools, or (1, C), pooled by the backbone.
    graphemes: (G, 3) int64, label triples in the order of HEADS, for the grapheme head; None: no such head. In training
    it gives logits (B, G) named "grapheme"; in evaluation log-probabilities of each head's classes, named as MARGINALS.
    """

    grapheme_labels: Tensor

    def __init__(
        self, backbone: nn.Module, feature_shape: torch.Size, model: ModelConfig, graphemes: Tensor | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        pooling = model.pooling if len(feature_shape) == 4 else None
        make_head = partial(ClassificationHead, feature_shape[1], pooling=pooling, dropout=model.dropout)
        self.heads = nn.ModuleDict()
        for head in HEADS:
            in_parts = head.name == "consonant_diacritic" and model.consonant == "parts"
            last_layer: type[nn.Linear] = ConsonantPartsLinear if in_parts else nn.Linear
            self.heads[head.name] = make_head(num_classes=head.num_classes, last_layer=last_layer)
        if graphemes is not None:
            check_graphemes(graphemes)
            last_layer = CosineLinear if model.graphemes == "arcface" else nn.Linear
            self.heads[GRAPHEME] = make_head(num_classes=len(graphemes), last_layer=last_layer)
            self.register_buffer(GRAPHEME_LABELS, graphemes.clone())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.backbone(normalise(images))
        logits = {name: head(features) for name, head in self.heads.items()}
        if GRAPHEME in logits and not self.training:
            logits |= log_marginals(logits.pop(GRAPHEME), self.grapheme_labels)
        return logits


def normalise(images: Tensor) -> Tensor:
    """(x / 255 - PIXEL_MEAN) / PIXEL_STD, in two passes: uint8 -> float32 of the same shape."""
    assert images.dtype == torch.uint8, f"expected uint8 images, which the network normalises itself: {images.dtype}"
    return images.float().mul_(1 / (255 * PIXEL_STD)).sub_(PIXEL_MEAN / PIXEL_STD)


def create_network(
    model: ModelConfig, image_size: int, graphemes: Tensor | NDArray[np.int64] | None = None
) -> ThreeHeadNetwork:
    """Create the network for images of image_size x image_size pixels, with random heads, on the CPU.

    Parameters
    ----------
    model : with pretrained=true timm's weights are downloaded; pass replace(model, pretrained=False) before loading.
    graphemes : (G, 3) int64, label triples in the order of HEADS, from the train set or a file of weights; needed
        unless model.graphemes is "none", ignored if it is.

    Raises ConfigError for a backbone that is unknown or doesn't fit, InputError for weights that can't be read.
    """
    has_graphemes = model.graphemes != "none"
    assert graphemes is not None or not has_graphemes, f"model.graphemes={model.graphemes} needs label triples"
    backbone, feature_shape = create_backbone(model.backbone, model.pretrained, image_size)
    if model.pooling != "average" and len(feature_shape) != 4:
        raise ConfigError(
            f"model.pooling={model.pooling}: {model.backbone} has no feature map (B, C, H, W) to pool; timm pools its "
            "tokens. Set model.pooling=average."
        )
    labels = torch.as_tensor(graphemes) if has_graphemes else None
    return ThreeHeadNetwork(backbone, feature_shape, model, labels)


def place_network(network: ThreeHeadNetwork, device: torch.device) -> ThreeHeadNetwork:
    """Move the network to the device in the fastest memory layout; weights, names and results stay the same."""
    if device.type == "cpu":
        multiply_small_maps(network)
    # channels_last: 1.1 to 1.8 times as fast in convolutions, on CPUs and in half precision on GPUs
    return network.to(device).to(memory_format=torch.channels_last)
