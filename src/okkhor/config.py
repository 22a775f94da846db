"""`Config`: every setting of the pipeline. One line gives type, default, description, unit and range of a setting.

A preset in configs/ and `key=value` arguments change settings; settings.py makes a Config of them. docs/settings.md
lists all, `./run.sh help <setting or group>` prints some.
"""

from dataclasses import dataclass, field
from typing import Literal

from okkhor.config_field import setting
from okkhor.config_rendering import HandConfig, SampleConfig

COMPETITION_ROOT = "input/bengaliai-cv19"
ARCFACE_SCALE = 30.0  # factor on cosines, so that softmax can become sharp; ArcFace, Deng et al. 2019, arXiv:1801.07698
EPOCHS = 100_000  # the most
SEED = 2**32 - 1  # the highest


@dataclass(frozen=True)
class DataConfig:
    """The input folder, and what the network sees of its images."""

    root: str = setting(COMPETITION_ROOT, "Folder in the competition's format", "path")
    partial: bool = setting(False, "Train on the rows of train.csv whose image is there: a part of the files")
    size: int = setting(128, "Height and width that images are resized to", "pixels", 16, 512)
    crop_to_ink: bool = setting(False, "Cut off the paper around the ink before resizing")
    blacklist: str = setting("", "Csv file with the image_ids that training leaves out", "path")
    label_fixes: str = setting("", "Csv file: image_id and corrected labels, in train.csv's columns", "path")
    pseudo: str = setting("", "Run, or run@variant, whose predictions of test images are trained on as labels")
    pseudo_confidence: float = setting(0.95, "Lowest confidence, in each head, of a used label", "probability", 0, 1)
    rendered_fraction: float = setting(0.0, "Part of the training images that is rendered from fonts", "share", 0, 0.99)
    rendered_graphemes: str = setting("train", "train; grammar: all that labels make; or a csv: grapheme", "path")
    cache_dir: str = setting("runs/.cache", "Folder of resized train images", "path")
    num_workers: int = setting(0, "Processes that load images; 0: the training process loads them", "processes", 0, 256)


@dataclass(frozen=True)
class FoldsConfig:
    """The split of train.csv into folds: made once into folds/, checked each time."""

    num_folds: int = setting(5, "Number of folds", "folds", 2, 100)
    scheme: Literal["stratified", "unseen"] = setting(
        "stratified", "Both stratify by grapheme, so by all heads; unseen: validation has graphemes unknown to training"
    )
    unseen_share: float = setting(
        0.058, "Graphemes that a fold's training lacks, with scheme=unseen; the private test's", "share", 0.0001, 0.5
    )
    group: str = setting("", "Column of train.csv, such as a writer, whose images stay on one side of a split")
    seed: int = setting(0, "Fixes the shuffle before the split", "", 0, SEED)


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = setting("resnet34", "Name that timm.create_model knows, or article_resnet34, article_plain34")
    pretrained: bool | str = setting(False, "true: timm's, downloaded; or a backbone's .safetensors file", "path")
    init_from: str = setting("", "Run whose weights, of the fold with the same number, training starts from")
    pooling: Literal["average", "gem", "average_max"] = setting(
        "average", "Pooling of each head; gem: generalized mean, learnt exponent"
    )
    dropout: float = setting(0.0, "Dropout before the last layer of each head", "probability", 0, 0.95)
    consonant: Literal["classes", "parts"] = setting("classes", "parts: a sigmoid for each of the four written parts")
    graphemes: Literal["none", "linear", "arcface"] = setting("none", "A fourth head, over the graphemes of train.csv")


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training images. No flips: they turn a glyph into another."""

    policy: str = setting("light", "Policy of data/augmentation.py, or its transforms joined by +: affine+elastic")
    strength: float = setting(1.0, "Factor on every angle, shift, area and amount", "factor", 0, 3)
    probability: float = setting(1.0, "Factor on the probability of every transform", "factor", 0, 10)


@dataclass(frozen=True)
class MixConfig:
    """Two images of a batch mixed into one, with the labels of both; a batch is mixed in one way at most."""

    cutmix: float = setting(0.0, "CutMix: a rectangle of another image; arXiv:1905.04899", "probability", 0, 1)
    cutmix_alpha: float = setting(1.0, "Alpha of the Beta distribution of the first image's share", "", 0, 100)
    mixup: float = setting(0.0, "MixUp: the weighted mean of two images; arXiv:1710.09412", "probability", 0, 1)
    mixup_alpha: float = setting(0.2, "Alpha of the Beta distribution of the first image's share", "", 0, 100)
    fmix: float = setting(0.0, "FMix: an area of smooth random shape; arXiv:2002.12047", "probability", 0, 1)
    fmix_alpha: float = setting(1.0, "Alpha of the Beta distribution of the first image's share", "", 0, 100)
    cooldown_epochs: int = setting(0, "Last epochs, without mixing", "epochs", 0, EPOCHS)


@dataclass(frozen=True)
class LossConfig:
    """What training minimises: the weighted mean of the heads' losses."""

    head_weights: tuple[float, ...] = setting((2.0, 1.0, 1.0), "Weights of root, vowel, consonant, as in the score")
    label_smoothing: float = setting(0.0, "Part of a label that is spread over all classes", "share", 0, 0.99)
    logit_adjustment: float = setting(0.0, "1: all classes count alike, as in macro recall; arXiv:2007.07314", "", 0, 3)
    class_balance: float = setting(0.0, "Beta of class-balanced loss; 0: off; arXiv:1901.05555", "", 0, 0.999999)
    focal_gamma: float = setting(
        0.0, "Gamma of focal loss: easy images count less; 0: off; arXiv:1708.02002", "", 0, 10
    )
    hard_share: float = setting(1.0, "Hardest images of a micro-batch count; arXiv:1604.03540", "share", 0.01, 1)
    grapheme_weight: float = setting(1.0, "Weight of the grapheme head; 1: as the three heads together", "", 0, 100)
    arcface_margin: float = setting(0.3, "Angle added to the right grapheme's; arXiv:1801.07698", "radians", 0, 1.5)


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move, and how fast."""

    name: Literal["adamw", "sgd", "muon"] = setting("adamw", "sgd: with Nesterov momentum; muon: NAdamW for the rest")
    learning_rate: float = setting(1e-3, "Highest learning rate", "", 1e-9, 100)
    weight_decay: float = setting(0.01, "Weight decay, except of norms and biases", "", 0, 100)
    momentum: float = setting(0.9, "Momentum of sgd", "", 0, 0.9999)
    schedule: Literal["one_cycle", "cosine", "restarts"] = setting("one_cycle", "Learning rate over the run")
    warmup: float = setting(0.2, "Steps of the first cycle during which the learning rate rises", "share", 0, 0.99)
    cycles: int = setting(1, "Equal cycles of schedule=restarts, a snapshot each; arXiv:1608.03983", "cycles", 1, 1000)
    clip_norm: float = setting(0.0, "Longest gradient, all weights together; 0: no limit", "L2 norm", 0, 1_000_000)


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: int = setting(30, "Passes over the training images", "epochs", 1, EPOCHS)
    batch_size: int = setting(64, "Images of an optimizer step, over all processes together", "images", 2, 65_536)
    accumulate: int = setting(1, "Micro-batches that a batch is split into where memory is short", "", 1, 65_536)
    sampling: Literal["plain", "balanced"] = setting("plain", "balanced: rare roots are drawn more often")
    first_size: int = setting(
        0, "First epoch's image size, which grows to data.size in half of the epochs; 0: off", "pixels", 0, 512
    )
    freeze_epochs: int = setting(
        0, "Epochs in which the backbone thaws, from its end; the first trains the heads alone", "epochs", 0, EPOCHS
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto", "auto: the best that the device has")
    device: str = setting("auto", "auto, cpu, cuda or cuda:<number>; auto: cuda where there is one, otherwise cpu")
    compile: Literal["none", "default", "reduce-overhead"] = setting("none", "torch.compile; the last: CUDA graphs")
    ema_decay: float = setting(0.998, "Decay per step of the weights' moving average (EMA); 0: off", "", 0, 0.999999)
    swa_epochs: int = setting(0, "Last epochs that SWA averages; arXiv:1803.05407", "epochs", 0, EPOCHS)
    patience: int = setting(0, "Early stopping: epochs without a better score; 0: off", "epochs", 0, EPOCHS)
    max_minutes: float = setting(0.0, "Time to stop after, with a usable model; 0: none", "minutes", 0, 1_000_000)
    save_minutes: float = setting(10.0, "Time between saved states; epochs save too", "minutes", 0, 1_000_000)
    tensorboard: bool = setting(False, "Write event files beside log.jsonl; see them: tensorboard --logdir runs")
    num_threads: int = setting(0, "CPU threads of a process; 0: as torch chooses", "threads", 0, 1024)
    profile: bool = setting(False, "Trace three steps of the first epoch: print what costs most, write trace.json")


@dataclass(frozen=True)
class DecodeConfig:
    """How probabilities become the labels of a submission."""

    rule: Literal["argmax", "prior", "grapheme", "joint"] = setting("argmax", "Decision rule, tuned out of fold")
    prior: Literal["counts", "posterior"] = setting("counts", "Class shares: of the training images, or as predicted")


@dataclass(frozen=True)
class EnsembleConfig:
    """How the members of an ensemble are combined."""

    mean: Literal["arithmetic", "geometric", "rank"] = setting("arithmetic", "Mean of the members' probabilities")
    weights: Literal["equal", "greedy", "stacking"] = setting(
        "equal", "Members' weights, from out of fold; greedy: Caruana 2004"
    )


@dataclass(frozen=True)
class LaunchConfig:
    """Several processes that train one fold together (torchrun, DistributedDataParallel)."""

    processes: int = setting(1, "Processes on this machine, one for each GPU", "processes", 1, 1024)


@dataclass(frozen=True)
class KaggleConfig:
    """Where Kaggle's client uploads a package to."""

    user: str = setting("", "Your name in Kaggle's addresses")


@dataclass(frozen=True)
class RehearseConfig:
    """The packaged kernel, run here as Kaggle would run it."""

    memory_gb: float = setting(16.0, "Memory that the kernel may use", "GB of 10^9 bytes", 0.1, 10_000)
    num_images: int = setting(20_000, "Images of the largest run: test files, repeated", "images", 1, 10_000_000)


@dataclass(frozen=True)
class BenchConfig:
    """What ./run.sh bench measures, and how thoroughly."""

    parts: tuple[str, ...] = setting(("cache", "loader", "train", "predict"), "What is measured")
    sizes: tuple[int, ...] = setting((64, 128), "Image sizes that training and prediction are measured at", "pixels")
    repeats: int = setting(5, "Interleaved pairs of measurements, whose median counts", "pairs", 1, 1000)
    images: int = setting(512, "Images of a network's measurement", "images", 2, 1_000_000)


@dataclass(frozen=True)
class DemoConfig:
    """The page on which a person draws."""

    port: int = setting(8765, "Port on 127.0.0.1; 0: any free one", "", 0, 65_535)


@dataclass(frozen=True)
class Config:
    """All settings of one command."""

    config: str = setting("", "Preset: a file of configs/, without .yaml")
    fold: int | list[int] | Literal["all"] | None = setting(None, "Folds; default: train takes 0, others all finished")
    run: str = setting("", "Name of runs/<run>; default: the preset's, with another data folder's added")
    runs: tuple[str, ...] = setting((), "Members of an ensemble: runs, or <run>@cycle<k>, <run>@tta<n>")
    name: str = setting("", "Name of an ensemble's submission")
    submission: str = setting("", "Csv file that `score` compares with data.root/solution.csv", "path")
    seed: int = setting(0, "Fixes weights, order and augmentation", "", 0, SEED)
    overwrite: bool = setting(False, "Train a finished fold again and replace its files")
    data: DataConfig = field(default_factory=DataConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    hand: HandConfig = field(default_factory=HandConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    kaggle: KaggleConfig = field(default_factory=KaggleConfig)
    rehearse: RehearseConfig = field(default_factory=RehearseConfig)
    launch: LaunchConfig = field(default_factory=LaunchConfig)
    demo: DemoConfig = field(default_factory=DemoConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
