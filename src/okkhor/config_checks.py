"""`find_problems`: names and combinations of settings that are refused, each with a sentence."""

import math
import unicodedata
from collections.abc import Iterator

from okkhor.config import Config


def find_problems(config: Config) -> Iterator[str]:
    """Yield a line for each bad name or combination. The values themselves are within their ranges."""
    yield from _find_name_problems(config)
    yield from _find_loss_problems(config)
    yield from _find_decoding_problems(config)
    yield from _find_training_problems(config)


def _find_name_problems(config: Config) -> Iterator[str]:
    """A name becomes a folder: it may not lead to another one."""
    runs = (("run", config.run), ("data.pseudo", config.data.pseudo), *(("runs", run) for run in config.runs))
    names = [(key, run.partition("@")[0]) for key, run in runs]
    for key, name in (*names, ("name", config.name), ("model.init_from", config.model.init_from)):
        if name and not is_name(name):
            yield f"{key}={name[:100]}: a name is made of letters, digits, '.', '_' and '-', 100 at most."
    if config.run and config.model.init_from == config.run:
        yield f"model.init_from={config.run}: a run can't start from itself. Give this one another name: run=<name>."
    if config.run and config.data.pseudo.partition("@")[0] == config.run:
        yield f"data.pseudo={config.data.pseudo}: a run can't learn from itself. Give this one another name."


def _find_loss_problems(config: Config) -> Iterator[str]:
    mix, model, loss = config.mix, config.model, config.loss
    for name in ("cutmix", "mixup", "fmix"):
        if getattr(mix, name) and not getattr(mix, f"{name}_alpha"):
            yield f"mix.{name}_alpha=0: a Beta distribution needs a number above 0."
    total = mix.cutmix + mix.mixup + mix.fmix
    if total > 1 + 1e-9:
        yield "mix.cutmix, mix.mixup and mix.fmix are probabilities of one choice: together at most 1."
    if loss.hard_share < 1 and total > 0:
        yield "loss.hard_share: no mixed image is easy. Set it to 1, or set mix.cutmix, mix.mixup and mix.fmix to 0."
    weights = loss.head_weights
    if len(weights) != 3 or min(weights) < 0 or not math.isfinite(sum(weights)):
        yield f"loss.head_weights={list(weights)[:10]}: expected three numbers from 0: root, vowel, consonant."
    elif sum(weights) == 0:
        yield "loss.head_weights=[0,0,0]: nothing would be learnt. At least one must be above 0."
    if model.graphemes != "none" and not loss.grapheme_weight:
        yield f"model.graphemes={model.graphemes} with loss.grapheme_weight=0: that head would not learn."
    if model.consonant == "parts" and loss.focal_gamma:
        yield "loss.focal_gamma: not defined for the four yes-no questions of model.consonant=parts. Use one."


def _find_decoding_problems(config: Config) -> Iterator[str]:
    rule, stacks = config.decode.rule, config.ensemble.weights == "stacking"
    if rule != "argmax" and config.ensemble.mean == "rank" and not stacks:
        yield f"decode.rule={rule}: ensemble.mean=rank leaves no probabilities to decide by. Use argmax."
    if rule == "grapheme" and stacks:
        yield "decode.rule=grapheme: ensemble.weights=stacking leaves the grapheme heads out. Use one of the two."


def _find_training_problems(config: Config) -> Iterator[str]:
    train, optimizer = config.train, config.optimizer
    size, micro_batches = train.batch_size, train.accumulate * config.launch.processes
    if size % micro_batches:
        yield (
            f"train.batch_size={size} does not divide into {micro_batches} micro-batches "
            "(train.accumulate x launch.processes)."
        )
    elif size // micro_batches < 2:
        yield f"train.batch_size={size}: {micro_batches} micro-batches have one image each, too few for batch norm."
    if optimizer.cycles > 1 and optimizer.schedule != "restarts":
        yield f"optimizer.cycles={optimizer.cycles}: only optimizer.schedule=restarts has several cycles."
    if optimizer.cycles > train.epochs or (optimizer.schedule == "restarts" and train.epochs % optimizer.cycles):
        yield f"train.epochs={train.epochs} does not divide into optimizer.cycles={optimizer.cycles} equal cycles."
    if train.first_size and not 16 <= train.first_size <= config.data.size:
        yield f"train.first_size={train.first_size}: expected 16 to data.size={config.data.size} pixels, or 0."
    for key, epochs in (
        ("mix.cooldown_epochs", config.mix.cooldown_epochs),
        ("train.freeze_epochs", train.freeze_epochs),
        ("train.swa_epochs", train.swa_epochs),
    ):
        if epochs > train.epochs:
            yield f"{key}={epochs}: there are only train.epochs={train.epochs}."


def is_name(text: str) -> bool:
    """Whether a text can name a folder, in any script: letters, digits, ., _ and -, and marks (Bengali vowel signs)."""
    known = all(char in "._-" or unicodedata.category(char)[0] in "LMN" for char in text)
    return known and text[0] not in ".-" and len(text.encode()) <= 100
