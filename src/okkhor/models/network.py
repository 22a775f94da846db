"""One backbone, three heads."""

import torch
from torch import Tensor, nn

from okkhor.config import ModelConfig
from okkhor.errors import ConfigError
from okkhor.models.backbone import create_backbone
from okkhor.models.heads import ClassificationHead
from okkhor.models.small_maps import multiply_small_maps
from okkhor.schema import HEADS

# Of the competition's train images, cropped to the ink, ink bright on 0, at 128 x 128, divided by 255; from a public
# kernel. Batch norm makes the network forgiving: it is only to start near mean 0 and variance 1.
PIXEL_MEAN = 0.0692
PIXEL_STD = 0.2051


class ThreeHeadNetwork(nn.Module):
    """Images (B, 1, H, W) uint8, ink bright on 0 -> for each head by name, logits (B, num_classes).

    feature_shape: of one image's features: (1, C, h, w), which each head pools, or (1, C), pooled by the backbone.
    """

    def __init__(self, backbone: nn.Module, feature_shape: torch.Size, pooling: str, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        head_pooling = pooling if len(feature_shape) == 4 else None
        self.heads = nn.ModuleDict(
            {head.name: ClassificationHead(feature_shape[1], head.num_classes, head_pooling, dropout) for head in HEADS}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.backbone(normalise(images))
        return {name: head(features) for name, head in self.heads.items()}


def normalise(images: Tensor) -> Tensor:
    """uint8 -> float32 of about mean 0 and variance 1, of the same shape: (x / 255 - mean) / std in two passes."""
    assert images.dtype == torch.uint8, f"expected uint8 images, which the network normalises itself: {images.dtype}"
    return images.float().mul_(1 / (255 * PIXEL_STD)).sub_(PIXEL_MEAN / PIXEL_STD)


def create_network(model: ModelConfig, image_size: int) -> ThreeHeadNetwork:
    """The network for images of image_size x image_size pixels, with random heads, on the CPU.

    model.pretrained=true downloads weights: where a trained network is loaded, pass replace(model, pretrained=False).
    Raises ConfigError for a backbone that is unknown or doesn't fit, InputError for weights that can't be had.
    """
    backbone, feature_shape = create_backbone(model.backbone, model.pretrained, image_size)
    if model.pooling == "gem" and len(feature_shape) != 4:
        raise ConfigError(
            f"model.pooling=gem: {model.backbone} has no feature map (B, C, H, W) to pool; timm pools its tokens. "
            "Set model.pooling=average."
        )
    return ThreeHeadNetwork(backbone, feature_shape, model.pooling, model.dropout)


def place_network(network: ThreeHeadNetwork, device: torch.device) -> ThreeHeadNetwork:
    """Move it to the device, laid out as is fastest there; weights, their names and the results stay."""
    if device.type == "cpu":
        multiply_small_maps(network)
    # channels_last: 1.1 to 1.8 times as fast in convolutions, on CPUs and in half precision on GPUs
    return network.to(device).to(memory_format=torch.channels_last)
