"""Every setting of the pipeline, with its unit and meaning.

A preset in configs/ and `key=value` arguments may change any field below; settings.py makes a Config of them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from okkhor.config_rendering import HandConfig, SampleConfig

COMPETITION_ROOT = "input/bengaliai-cv19"
ARCFACE_SCALE = 30.0  # of the cosines, so that softmax can become sure; ArcFace, Deng et al. 2019, arXiv:1801.07698


@dataclass(frozen=True)
class DataConfig:
    """The input folder and what the network sees of its images."""

    root: str = COMPETITION_ROOT  # a folder in the competition's format
    size: int = 128  # height and width that images are resized to, pixels
    crop_to_ink: bool = False  # cut the paper off around the ink before resizing
    blacklist: str = ""  # a csv with the image_ids that are not trained on
    label_fixes: str = ""  # a csv with image_id and the labels that are right, in train.csv's columns
    pseudo: str = ""  # a run, as a member of an ensemble is named, whose reading of test images is trained on too
    pseudo_confidence: float = 0.95  # of the test images, those that each head reads with this probability at least
    rendered_fraction: float = 0.0  # of the training images, those rendered from fonts, by new hands in each epoch
    rendered_epochs: int = 1  # after which they are rendered anew; that takes a third as long as an epoch of them
    rendered_graphemes: str = "train"  # train; grammar: all that labels can make; or a csv with a column grapheme
    cache_dir: str = "runs/.cache"  # resized train images are kept here
    num_workers: int = 0  # loader processes; 0: images are loaded in the training process


@dataclass(frozen=True)
class FoldsConfig:
    """The split of train.csv into folds, made once into folds/, audited each time."""

    num_folds: int = 5
    scheme: Literal["stratified", "unseen"] = "stratified"  # both on the grapheme, which stratifies all three heads
    unseen_share: float = 0.058  # scheme=unseen: of the graphemes, those that a fold's training lacks; as private's
    group: str = ""  # a column of train.csv, such as a writer: its images are never on both sides of a fold
    seed: int = 0  # of the shuffle before the split


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = "resnet34"  # any name that timm.create_model knows, or article_resnet34, article_plain34
    pretrained: bool | str = False  # true: timm's weights, downloaded; or a .safetensors file of backbone weights
    init_from: str = ""  # start from all the weights of another run, its fold of the same number
    pooling: Literal["average", "gem", "average_max", "sse"] = "average"  # per head; gem: a mean with learnt exponent
    hidden: int = 0  # features of a hidden layer in each head; 0: none
    dropout: float = 0.0  # probability, before each head's last layer
    consonant: Literal["classes", "parts"] = "classes"  # parts: a sigmoid for each of the four written parts
    graphemes: Literal["none", "linear", "arcface"] = "none"  # a fourth head over the graphemes of train.csv


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training images. No flips: they turn a glyph into another."""

    policy: str = "light"  # a policy of data/augmentation.py, or its transforms joined by +, such as affine+elastic
    strength: float = 1.0  # factor on every angle, shift, area and amount
    probability: float = 1.0  # factor on the probability of every transform
    cooldown_epochs: int = 0  # the last so many epochs see images that are changed less
    cooldown_strength: float = 0.3  # the strength in them


@dataclass(frozen=True)
class MixConfig:
    """Two images of a batch as one, with the labels of both; at most one of the kinds for each batch."""

    cutmix: float = 0.0  # probability for a batch; a rectangle from the other image: Yun et al. 2019, arXiv:1905.04899
    cutmix_alpha: float = 1.0  # of the Beta distribution that the share of the first image is drawn from
    mixup: float = 0.0  # probability; the weighted mean of both: Zhang et al. 2018, arXiv:1710.09412
    mixup_alpha: float = 0.2
    fmix: float = 0.0  # probability; an area of smooth random shape: Harris et al. 2020, arXiv:2002.12047
    fmix_alpha: float = 1.0
    cooldown_epochs: int = 0  # the last so many epochs see whole images


@dataclass(frozen=True)
class LossConfig:
    """What training minimises: a loss for each head, weighted."""

    head_weights: tuple[float, ...] = (2.0, 1.0, 1.0)  # of root, vowel, consonant; as the score weights them
    label_smoothing: float = 0.0  # share of the label spread over all classes; evenly, seen without the adjustment
    logit_adjustment: float = 0.0  # 1: all classes count alike, as in macro recall; arXiv:2007.07314
    class_balance: float = 0.0  # beta of the effective number of images, near 1; 0: none; arXiv:1901.05555
    focal_gamma: float = 0.0  # how much less an image counts that is learnt already; 0: none; arXiv:1708.02002
    hard_share: float = 1.0  # of each part of a batch, the images with the highest loss that count; arXiv:1604.03540
    hard_from_epoch: int = 0  # before it all images count; the first epoch is 0
    grapheme_weight: float = 1.0  # of the grapheme head's loss; 1: as much as the three heads together
    arcface_margin: float = 0.3  # radians that the right grapheme's angle is made larger by; arXiv:1801.07698


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move, and how fast over the run."""

    name: Literal["adamw", "sgd", "muon"] = "adamw"  # sgd: with Nesterov momentum; muon: NAdamW for the rest
    learning_rate: float = 1e-3  # the highest
    weight_decay: float = 0.01  # not on norms and biases
    momentum: float = 0.9  # of sgd
    schedule: Literal["one_cycle", "cosine", "restarts"] = "one_cycle"
    warmup: float = 0.2  # share of the steps, or of the first of several cycles, during which the rate rises
    cycles: int = 1  # of schedule=restarts: equally long, each ends with a snapshot; arXiv:1608.03983
    clip_norm: float = 0.0  # longest gradient, all weights together; 0: any


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    epochs: int = 30
    batch_size: int = 64  # images of an optimizer step, of all processes together
    accumulate: int = 1  # parts that a batch is computed in, one after the other, where memory is short
    sampling: Literal["plain", "balanced", "grapheme"] = "plain"  # balanced: rare roots oftener; grapheme: all alike
    first_size: int = 0  # pixels; images grow from this size to data.size in the first half of the epochs; 0: do not
    freeze_epochs: int = 0  # the first epoch trains the heads alone; by this one the backbone has thawed, from its end
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: the best that the device has
    device: str = "auto"  # auto: cuda where there is one, else cpu
    compile: Literal["none", "default", "reduce-overhead"] = "none"  # torch.compile's modes; the last: CUDA graphs
    ema_decay: float = 0.998  # of the running mean of the weights, per step; 0: none
    swa_epochs: int = 0  # predict with the mean of the weights after each of the last so many epochs; arXiv:1803.05407
    patience: int = 0  # stop after so many epochs without a better score; 0: never
    max_minutes: float = 0.0  # stop in time, with a usable model; 0: no limit
    save_minutes: float = 10.0  # between two saved states; each epoch saves one too
    tensorboard: bool = False  # event files in the fold's folder, beside log.jsonl: tensorboard --logdir runs
    num_threads: int = 0  # CPU threads of a process; 0: torch's own choice
    profile: bool = False  # trace three steps of the first epoch: what costs most is printed, and trace.json written


@dataclass(frozen=True)
class DecodeConfig:
    """How probabilities become the labels of a submission."""

    rule: Literal["argmax", "prior", "grapheme", "joint"] = "argmax"  # see scoring/decoding.py; chosen out of fold
    prior: Literal["counts", "posterior"] = "counts"  # shares of the training images; or the networks' own mean


@dataclass(frozen=True)
class EnsembleConfig:
    """How the members of an ensemble become one."""

    mean: Literal["arithmetic", "geometric", "rank"] = "arithmetic"
    weights: Literal["equal", "greedy", "stacking"] = "equal"  # greedy: Caruana et al. 2004; both chosen out of fold


@dataclass(frozen=True)
class LaunchConfig:
    """Several processes train one fold together (torchrun, DistributedDataParallel)."""

    processes: int = 1  # on this machine, one for each GPU; more machines: torchrun's own options, see the README


@dataclass(frozen=True)
class KaggleConfig:
    """What Kaggle's client uploads a package by."""

    user: str = ""  # your name in Kaggle's addresses


@dataclass(frozen=True)
class RehearseConfig:
    """The packaged kernel, run here as Kaggle would run it."""

    memory_gb: float = 16.0  # GB of 10^9 bytes that the kernel may use
    num_images: int = 20_000  # of the largest run: the test files, repeated until there are as many


@dataclass(frozen=True)
class BenchConfig:
    """What ./run.sh bench measures, and how thoroughly."""

    parts: tuple[str, ...] = ("cache", "loader", "train", "predict")
    sizes: tuple[int, ...] = (64, 128)  # pixels, at which training and prediction are measured
    repeats: int = 5  # interleaved pairs of what is compared; their median counts
    images: int = 512  # that a network is measured on, each time


@dataclass(frozen=True)
class DemoConfig:
    """The page on which a person draws."""

    port: int = 8765  # on 127.0.0.1; 0: any that is free


@dataclass(frozen=True)
class Config:
    """All settings of one command."""

    config: str = ""  # the preset: a file of configs/, without .yaml
    fold: Any = None  # a number, a list of numbers, or "all"; train takes 0 when none is given
    run: str = ""  # name of runs/<run>; default: the preset, and the data folder where it is not the preset's
    runs: tuple[str, ...] = ()  # the members of an ensemble: runs, or <run>@cycle<k>, <run>@tta<n>
    name: str = ""  # of an ensemble's submission
    submission: str = ""  # a csv for `score` to hold against data.root/solution.csv
    seed: int = 0  # fixes weights, order, augmentation
    overwrite: bool = False  # train a finished fold again, replace its files
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
