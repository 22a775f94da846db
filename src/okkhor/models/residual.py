"""ResidualNetwork: ResNet-34 written out, and its twin without shortcuts. He et al. 2015, arXiv:1512.03385.

A deep network should be at least as good as a shallow one: its extra layers could learn to pass their input on. Plain
deep networks fail to. 34 plain layers had a higher *training* error than 18; on ImageNet's validation set their error
was 28.5 % against 27.9 % (table 2). This is the degradation problem. It is not overfitting, and with batch norm it is
not vanishing gradients: plain layers find it hard to learn "pass it on". A shortcut adds the input of two convolutions
to their output. They then start from "pass it on" and learn only what to change. With shortcuts the order turns round:
25.0 % for 34 layers, 27.9 % for 18.

The five blocks of the article, for an image of 128 x 128:

    block 1   stem: 7x7 convolution, 64 channels, stride 2; batch norm; ReLU; 3x3 max pool, stride 2     32 x 32
    block 2   layer1: 3 pairs of 3x3 convolutions,  64 channels                                          32 x 32
    block 3   layer2: 4 pairs,                     128 channels, the first with stride 2                 16 x 16
    block 4   layer3: 6 pairs,                     256 channels, likewise                                 8 x  8
    block 5   layer4: 3 pairs,                     512 channels, likewise                                 4 x  4

1 + 2 * (3 + 4 + 6 + 3) = 33 convolutions and one linear layer: 34 layers.

The modules have the same names as in timm's and torchvision's resnet34, so the same weights fit all three.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

STEM_CHANNELS = 64
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels, pairs of convolutions


class ConvolutionPair(nn.Module):
    """Two 3x3 convolutions and the shortcut: (B, in_channels, H, W) -> (B, channels, H / stride, W / stride).

    out = relu(F(x) + x), so the derivative is that of F plus the identity. However small the gradient through the
    convolutions is, the shortcut also passes it on unchanged, through all pairs down to the stem.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        # no biases: the batch norm after each convolution subtracts the mean and adds its own bias
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)  # in place: activations fill the memory
        self.shortcut = shortcut
        # x and F(x) need the same shape. Where the pair halves the image and doubles the channels, a 1x1 convolution
        # projects x. This happens three times; these are the only weights that shortcuts cost.
        self.downsample: nn.Sequential | None = None
        if shortcut and (stride != 1 or in_channels != channels):
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut:
            out = out + (x if self.downsample is None else self.downsample(x))
        activated: Tensor = self.relu(out)  # after the sum: so a pair can also subtract from x
        return activated


class ResidualNetwork(nn.Module):
    """Images (B, in_chans, H, W) float -> the feature map (B, 512, H/32, W/32), its mean, or class logits.

    shortcuts: False makes the plain 34-layer network. global_pool: "" keeps the map and needs num_classes=0; "avg"
    gives its mean (B, 512), or logits (B, num_classes). The names of the arguments are timm's.
    """

    def __init__(
        self, shortcuts: bool = True, in_chans: int = 3, num_classes: int = 1000, global_pool: str = "avg"
    ) -> None:
        super().__init__()
        self.global_pool = global_pool
        # Stem: a wide convolution with stride 2 and a pool with stride 2 make the image a quarter as high and wide. The
        # deep part would cost 16 times as much on the full image.
        self.conv1 = nn.Conv2d(in_chans, STEM_CHANNELS, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        in_channels = STEM_CHANNELS
        for number, (channels, num_pairs) in enumerate(STAGES, start=1):
            stride = 1 if number == 1 else 2  # the pool has halved the image for the first stage
            pairs = [ConvolutionPair(in_channels, channels, stride, shortcuts)]
            pairs += [ConvolutionPair(channels, channels, 1, shortcuts) for _ in range(num_pairs - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*pairs))
            in_channels = channels
        self.fc = nn.Linear(in_channels, num_classes) if num_classes else nn.Identity()
        # Kernels start with variance 2 / fan-out: He et al. 2015, arXiv:1502.01852. A ReLU zeroes half of its input;
        # the 2 makes up for it, so the signal keeps its size through 34 layers. Batch norms start at scale 1, bias 0.
        # (timm starts bn2 at scale 0, which would make the plain twin's output zero.)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Tell timm which weights form a group: the stem, then each stage (coarse) or each pair."""
        return {"stem": r"^conv1|bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        if self.global_pool == "avg":
            x = self.fc(x.mean(dim=(2, 3)))
        return x


default_cfgs = generate_default_cfgs(
    {
        # no url: no weights to download
        name: {"url": "", "input_size": (3, 224, 224), "pool_size": (7, 7), "first_conv": "conv1", "classifier": "fc"}
        for name in ("article_resnet34", "article_plain34")
    }
)


@register_model
def article_resnet34(pretrained: bool = False, **kwargs: Any) -> ResidualNetwork:
    """ResNet-34 as the beginner's article explains it."""
    return build_model_with_cfg(ResidualNetwork, "article_resnet34", pretrained, shortcuts=True, **kwargs)


@register_model
def article_plain34(pretrained: bool = False, **kwargs: Any) -> ResidualNetwork:
    """The same 34 layers without shortcuts."""
    return build_model_with_cfg(ResidualNetwork, "article_plain34", pretrained, shortcuts=False, **kwargs)
