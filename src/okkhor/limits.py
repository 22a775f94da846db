"""The values and combinations of settings that are refused, each with a sentence."""

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from functools import reduce
from typing import Any

from okkhor.config import Config
from okkhor.errors import ConfigError

MAX_TEXT = 1000  # characters of a setting

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "data.size": (16, 512),  # pixels; a ResNet halves it five times
    "data.num_workers": (0, 256),
    "data.pseudo_confidence": (0, 1),
    "data.rendered_fraction": (0, 0.99),
    "data.rendered_epochs": (1, 100_000),
    "sample.num_graphemes": (2, 1295),
    "sample.images_per_grapheme": (1, 10_000),
    "sample.test_images": (1, 1_000_000),
    "sample.unseen_graphemes": (0, 1000),
    "sample.num_writers": (1, 10_000),
    "sample.num_test_writers": (1, 10_000),
    "sample.num_shards": (1, 1000),
    "sample.seed": (0, 2**32 - 1),
    "sample.processes": (0, 256),
    "demo.port": (0, 65_535),
    "hand.unsteadiness": (0, 2),
    "folds.num_folds": (2, 100),
    "folds.unseen_share": (0.0001, 0.5),
    "folds.seed": (0, 2**32 - 1),
    "model.hidden": (0, 65_536),
    "model.dropout": (0, 0.95),
    "augment.strength": (0, 3),
    "augment.probability": (0, 10),
    "augment.cooldown_epochs": (0, 100_000),
    "augment.cooldown_strength": (0, 3),
    "mix.cutmix": (0, 1),
    "mix.cutmix_alpha": (0, 100),
    "mix.mixup": (0, 1),
    "mix.mixup_alpha": (0, 100),
    "mix.fmix": (0, 1),
    "mix.fmix_alpha": (0, 100),
    "mix.cooldown_epochs": (0, 100_000),
    "loss.label_smoothing": (0, 0.99),
    "loss.logit_adjustment": (0, 3),
    "loss.class_balance": (0, 0.999999),
    "loss.focal_gamma": (0, 10),
    "loss.hard_share": (0.01, 1),
    "loss.hard_from_epoch": (0, 100_000),
    "loss.grapheme_weight": (0, 100),
    "loss.arcface_margin": (0, 1.5),
    "optimizer.learning_rate": (1e-9, 100),
    "optimizer.weight_decay": (0, 100),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.warmup": (0, 0.99),
    "optimizer.cycles": (1, 1000),
    "optimizer.clip_norm": (0, 1e6),
    "rehearse.memory_gb": (0.1, 10_000),
    "rehearse.num_images": (1, 10_000_000),
    "launch.processes": (1, 1024),
    "train.epochs": (1, 100_000),
    "train.batch_size": (2, 65_536),
    "train.accumulate": (1, 65_536),
    "train.first_size": (0, 512),
    "train.freeze_epochs": (0, 100_000),
    "train.ema_decay": (0, 0.999999),
    "train.swa_epochs": (0, 100_000),
    "train.patience": (0, 100_000),
    "train.max_minutes": (0, 1e6),
    "train.save_minutes": (0, 1e6),
    "train.num_threads": (0, 1024),
    "bench.repeats": (1, 1000),
    "bench.images": (2, 1_000_000),
}

HAND_RANGES: dict[str, tuple[float, float]] = {
    "size": (1, 500),  # pixels
    "aspect": (0.1, 10),
    "slant": (-2, 2),
    "slope": (-2, 2),
    "ascent": (0.1, 10),
    "descent": (0.1, 10),
    "parts": (0, 1),
    "warp": (0, 1),
    "signs": (0, 1),
    "looseness": (0, 1),
    "bow": (0, 1),
    "loops": (0, 3),
    "roundness": (0.01, 100),  # 0 would be another standard deviation to OpenCV, not none
    "tremor": (0, 1),
    "overshoot": (-1, 1),
    "head_line": (-1, 2),
    "head_line_first": (0, 1),
    "own_forms": (0, 1),
    "cut": (0, 1),
    "head_line_missing": (0, 1),
    "head_line_lift": (0, 1),
    "pen": (0.5, 50),  # pixels
    "contrast": (0, 1),
    "pressure": (0, 1),
    "darkness": (0, 255),  # gray levels
    "paper": (0, 255),
    "grain": (0, 100),
    "softness": (0.05, 10),  # pixels; 0 as with roundness
    "right": (-236, 236),  # pixels
    "down": (-137, 137),
    "scraps": (0, 1),
}
"""Between which both ends of each range of config.HandConfig lie."""


def check_config(config: Config) -> Config:
    """Raises ConfigError for a value out of its range, a bad combination, and a name that would leave its folder."""
    for problem in _find_value_problems(asdict(config)):
        raise ConfigError(problem)
    for key, (low, high) in RANGES.items():
        value: Any = reduce(getattr, key.split("."), config)
        if not low <= value <= high:
            raise ConfigError(f"{key}={value}: expected {low:,} to {high:,}.")
    for name, (low, high) in HAND_RANGES.items():
        first, last = getattr(config.hand, name)
        if not low <= first <= last <= high:
            raise ConfigError(
                f"hand.{name}=[{first:g},{last:g}]: expected two numbers from {low:g} to {high:g}, the lower one first."
            )
    given = (("run", config.run), ("data.pseudo", config.data.pseudo), *(("runs", name) for name in config.runs))
    members = [(key, name.partition("@")[0]) for key, name in given]
    for key, name in (*members, ("name", config.name), ("model.init_from", config.model.init_from)):
        if name and not is_name(name):
            raise ConfigError(f"{key}={name}: a name is made of letters, digits, '.', '_' and '-', 100 at most.")
    for problem in (
        *_find_mixing_problems(config),
        *_find_loss_problems(config),
        *_find_training_problems(config),
    ):
        raise ConfigError(problem)
    return config


def is_name(text: str) -> bool:
    """Whether it can be a folder's name; in any script, with the marks that Bengali vowel signs are to Unicode."""
    known = all(char in "._-" or unicodedata.category(char)[0] in "LMN" for char in text)
    return known and text[0] not in ".-" and len(text.encode()) <= 100


def _find_value_problems(tree: Any, key: str = "") -> Iterator[str]:
    """tree: the settings, or a part of them, as dicts. No gap in a list, no text that can't be written or be a path."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _find_value_problems(value, f"{key}.{name}" if key else name)
    elif key == "fold":  # select_folds checks it
        return
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from _find_value_problems(None if isinstance(value, dict | tuple | list) else value, key)
    elif tree is None:
        yield f"{key}: a value is missing, or a list stands where one value is expected."
    elif isinstance(tree, str) and not (len(tree) <= MAX_TEXT and is_plain(tree)):
        yield f"{key}={tree[:40]}: expected at most {MAX_TEXT:,} characters, none of them a control character."


def is_plain(text: str) -> bool:
    """Whether it can be written into any file and shown on any terminal."""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def _find_mixing_problems(config: Config) -> Iterator[str]:
    mix = config.mix
    for name in ("cutmix", "mixup", "fmix"):
        alpha = getattr(mix, f"{name}_alpha")
        if getattr(mix, name) and not alpha:
            yield f"mix.{name}_alpha={alpha:g}: a Beta distribution needs a number above 0."
    if mix.cutmix + mix.mixup + mix.fmix > 1 + 1e-9:
        yield "mix.cutmix, mix.mixup and mix.fmix are probabilities of one choice: together at most 1."
    if config.loss.hard_share < 1 and mix.cutmix + mix.mixup + mix.fmix > 0:
        yield "loss.hard_share: of mixed images none is easy. Set it to 1, or mix nothing."


def _find_loss_problems(config: Config) -> Iterator[str]:
    model, loss = config.model, config.loss
    if len(loss.head_weights) != 3 or min(loss.head_weights) < 0 or not math.isfinite(sum(loss.head_weights)):
        yield f"loss.head_weights={list(loss.head_weights)}: expected three numbers from 0: root, vowel, consonant."
    elif sum(loss.head_weights) == 0:
        yield "loss.head_weights=[0,0,0]: then nothing is learnt. At least one must be above 0."
    if model.graphemes != "none" and not loss.grapheme_weight:
        yield f"model.graphemes={model.graphemes} with loss.grapheme_weight=0: that head would not learn."
    if config.decode.rule != "argmax" and config.ensemble.mean == "rank" and config.ensemble.weights != "stacking":
        yield f"decode.rule={config.decode.rule}: ensemble.mean=rank leaves no probabilities to decide by. Use argmax."
    if config.decode.rule == "grapheme" and config.ensemble.weights == "stacking":
        yield "decode.rule=grapheme: stacking leaves the grapheme heads out. Use one of the two."
    if model.consonant == "parts" and loss.focal_gamma:
        yield "loss.focal_gamma: not defined for the four yes-no questions of model.consonant=parts. Use one."


def _find_training_problems(config: Config) -> Iterator[str]:
    if config.run and config.model.init_from == config.run:
        yield f"model.init_from={config.run}: a run can't start from itself. Give this one another name: run=<name>."
    if config.run and config.data.pseudo.partition("@")[0] == config.run:
        yield f"data.pseudo={config.data.pseudo}: a run can't learn from itself. Give this one another name."
    train, optimizer, processes = config.train, config.optimizer, config.launch.processes
    parts = train.accumulate * processes
    if train.batch_size % parts:
        yield (
            f"train.batch_size={train.batch_size} does not divide into {parts} parts "
            "(train.accumulate x launch.processes)."
        )
    elif train.batch_size // parts < 2:
        yield f"train.batch_size={train.batch_size}: {parts} parts leave one image each, too few for batch norm."
    if optimizer.cycles > 1 and optimizer.schedule != "restarts":
        yield f"optimizer.cycles={optimizer.cycles}: only optimizer.schedule=restarts has several cycles."
    if optimizer.cycles > train.epochs or (optimizer.schedule == "restarts" and train.epochs % optimizer.cycles):
        yield f"train.epochs={train.epochs} does not divide into optimizer.cycles={optimizer.cycles} equal cycles."
    if train.swa_epochs > train.epochs:
        yield f"train.swa_epochs={train.swa_epochs}: there are only train.epochs={train.epochs}."
    if train.first_size and not 16 <= train.first_size <= config.data.size:
        yield f"train.first_size={train.first_size}: expected 16 to data.size={config.data.size} pixels, or 0."
    for key, epochs in (
        ("augment.cooldown_epochs", config.augment.cooldown_epochs),
        ("mix.cooldown_epochs", config.mix.cooldown_epochs),
        ("train.freeze_epochs", train.freeze_epochs),
    ):
        if epochs > train.epochs:
            yield f"{key}={epochs}: there are only train.epochs={train.epochs}."
