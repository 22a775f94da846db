"""Every setting of the pipeline, with its unit and meaning.

A preset in configs/ and `key=value` arguments may change any field below; settings.py makes a Config of them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

COMPETITION_ROOT = "input/bengaliai-cv19"


@dataclass(frozen=True)
class SampleConfig:
    """The data set that is rendered from fonts where Kaggle's files are absent."""

    root: str = "input/sample"  # rendered here when data.root is this folder and it has no train.csv
    num_graphemes: int = 1295  # of the 1,295 graphemes of the real train set, the first so many
    images_per_grapheme: int = 25  # train images of each
    test_images: int = 2000  # images of test, by writers that train lacks
    unseen_graphemes: int = 70  # graphemes that only test has, an image of each: 3.5 % of it, as in the competition
    num_writers: int = 60  # hands of train: a font with a style
    num_test_writers: int = 20  # hands of test
    num_shards: int = 4  # parquet files of each split
    font_dirs: tuple[str, ...] = ()  # folders with a person's own Bengali fonts (ttf, otf), added to the packaged ones
    seed: int = 0  # fixes every pixel
    processes: int = 0  # worker processes for rendering; 0: one per core


@dataclass(frozen=True)
class DataConfig:
    """The input folder and what the network sees of its images."""

    root: str = COMPETITION_ROOT  # a folder in the competition's format
    size: int = 128  # height and width that images are resized to, pixels
    crop_to_ink: bool = False  # cut the paper off around the ink before resizing
    cache_dir: str = "runs/.cache"  # resized train images are kept here
    num_workers: int = 0  # loader processes; 0: images are loaded in the training process


@dataclass(frozen=True)
class FoldsConfig:
    """The split of train.csv into folds, made once into folds/<data folder's name>.csv."""

    num_folds: int = 5
    scheme: Literal["stratified"] = "stratified"  # on the grapheme, which stratifies all three heads
    seed: int = 0  # of the shuffle before the split


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = "resnet34"  # any name that timm.create_model knows, or article_resnet34, article_plain34
    pretrained: bool | str = False  # true: timm's weights, downloaded; or a .safetensors file of backbone weights
    pooling: Literal["average", "gem"] = "average"  # per head; gem: generalised mean with a learnt exponent
    dropout: float = 0.0  # probability, before each head's linear layer


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training images. No flips: they turn a glyph into another."""

    probability: float = 0.9  # of the affine change
    rotate: float = 8.0  # degrees, largest either way
    shear: float = 8.0  # degrees, largest either way
    scale: float = 0.12  # share of the size, largest either way
    translate: float = 0.06  # share of the size, largest either way
    erase_probability: float = 0.5  # of erasing one rectangle: Zhong et al. 2017, arXiv:1708.04896
    erase_area: tuple[float, float] = (0.02, 0.2)  # of the image, smallest and largest


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101, on a one-cycle schedule: rise, then cosine to zero."""

    learning_rate: float = 1e-3  # at the top of the cycle
    weight_decay: float = 0.01  # not on norms and biases
    warmup: float = 0.2  # share of all steps during which the rate rises


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: int = 30
    batch_size: int = 64  # images
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: the best that the device has
    device: str = "auto"  # auto: cuda where there is one, else cpu
    label_smoothing: float = 0.0  # share of the label spread over the other classes
    logit_adjustment: float = 0.0  # 1: all classes count alike, as in macro recall; arXiv:2007.07314
    ema_decay: float = 0.998  # of the running mean of the weights, per step; 0: none
    num_threads: int = 0  # CPU threads; 0: torch's own choice


@dataclass(frozen=True)
class Config:
    """All settings of one command."""

    config: str = ""  # the preset: a file of configs/, without .yaml
    fold: Any = None  # a number, a list of numbers, or "all"; train takes 0 when none is given
    run: str = ""  # name of runs/<run>; default: the preset, and the data folder where it is not the preset's
    runs: tuple[str, ...] = ()  # the members of an ensemble
    name: str = ""  # of an ensemble's submission
    submission: str = ""  # a csv for `score` to hold against data.root/solution.csv
    seed: int = 0  # fixes weights, order, augmentation
    overwrite: bool = False  # train a finished fold again, replace its files
    data: DataConfig = field(default_factory=DataConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
