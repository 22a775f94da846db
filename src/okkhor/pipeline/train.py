"""okkhor.pipeline.train."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from okkhor.config import Config
from okkhor.data.augmentation import parse_policy
from okkhor.errors import ConfigError, InputError, check_extra
from okkhor.files import holder
from okkhor.models.network import create_network
from okkhor.pipeline.fold import find_source, finish_fold, train_fold
from okkhor.pipeline.prediction import predict_folds
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.pseudo_labels import check_pseudo
from okkhor.pipeline.run import RUNS, Member, fold_folder, is_begun, is_finished, write_config
from okkhor.schema import HEADS
from okkhor.settings import differing_settings, load_stored
from okkhor.training.device import check_compiler, choose_device, choose_precision
from okkhor.training.distributed import World, join_world, was_launched

USAGE_SETTINGS = ("decode", "ensemble", "kaggle", "rehearse", "demo", "bench")  # of what is trained already
FREE_SETTINGS = ("config", "fold", "runs", "name", "submission", "overwrite", "sample.processes", *USAGE_SETTINGS)
"""Those, and where and how fast to compute, may differ between a run's start and its continuation."""
SPEED_SETTINGS = (
    "data.cache_dir",
    "data.num_workers",
    "launch",
    "train.compile",
    "train.device",
    "train.num_threads",
    "train.save_minutes",
    "train.max_minutes",
    "train.profile",
    "train.tensorboard",
)


def train_folds(config: Config, folds: Sequence[int]) -> None:
    """Train these folds one after the other; a finished one is kept."""
    check_settings(config, folds)
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    with join_world(choose_device(config.train.device)) as group, print_once(group):
        if config.train.batch_size % (config.train.accumulate * group.world_size):
            parts = f"{group.world_size} processes with train.accumulate={config.train.accumulate}"
            raise ConfigError(f"train.batch_size={config.train.batch_size} does not divide among {parts}.")
        prepared = prepare(config)
        if config.overwrite and group.is_main:  # all at once: the same command without overwrite goes on from here
            for fold in folds:
                with hold(fold_folder(config.run, fold)):
                    clear(fold_folder(config.run, fold), "*")
        group.agree(0)  # the others wait until all is cleared
        for fold in folds:
            run_fold(config, prepared, fold, group)


def run_fold(config: Config, prepared: Prepared, fold: int, group: World) -> None:
    """Train a fold that is not finished, then predict the test images. The main process holds the folder meanwhile."""
    folder = fold_folder(config.run, fold)
    with hold(folder) if group.is_main else contextlib.nullcontext():
        check_same_settings(folder, config)  # again: another process may have begun it meanwhile
        if group.agree(is_finished(folder)):
            print(f"{folder} is finished and kept; overwrite=true trains it again.")
        else:
            if group.is_main:
                clear(folder, "*" if not is_begun(folder) else ".*.tmp")  # what a killed process left
                write_config(config, folder)
            precision = choose_precision(config.train.precision, choose_device(config.train.device))
            train_fold(config, prepared, fold, precision, group)
            if group.is_main:
                finish_fold(folder)
        if group.is_main and prepared.test is not None and not (folder / "test.parquet").exists():
            predict_folds(config, Member(config.run, "", [fold]), prepared.test)


@contextmanager
def print_once(group: World) -> Iterator[None]:
    """Of several processes only the main one prints."""
    if group.is_main:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def check_settings(config: Config, folds: Sequence[int]) -> None:
    """Raises now what training would raise after minutes of preparation: about the device, the network, the run."""
    device = choose_device(config.train.device)
    parse_policy(config.augment.policy)
    if config.train.tensorboard:
        check_extra("tensorboard", "tensorboard", purpose="train.tensorboard=true")
    new_folds = [fold for fold in folds if config.overwrite or not is_begun(fold_folder(config.run, fold))]
    is_launcher = config.launch.processes > 1 and not was_launched()  # it would hold a GPU, and its processes check too
    if not is_launcher and any(config.overwrite or not is_finished(fold_folder(config.run, fold)) for fold in folds):
        check_compiler(config.train, device)
    if new_folds:
        create_network(config.model, config.data.size, graphemes=np.zeros((1, len(HEADS)), np.int64))
    check_pseudo(config, new_folds)
    if config.decode.rule == "grapheme" and config.model.graphemes == "none":
        raise ConfigError("decode.rule=grapheme: set model.graphemes=linear or arcface, whose head it reads.")
    if config.model.init_from:
        for fold in new_folds:
            find_source(config, fold)
    replaced = [fold_folder(config.run, fold) for fold in folds] if config.overwrite else []
    for path in sorted((RUNS / config.run).glob("fold*/config.yaml")):
        if path.parent not in replaced:
            check_same_settings(path.parent, config)


def check_same_settings(folder: Path, config: Config) -> None:
    """All folds of a run share their settings. Raises ConfigError where this one was begun with others."""
    if not (folder / "config.yaml").exists():
        return
    differing = differing_settings(load_stored(folder / "config.yaml"), config, FREE_SETTINGS + SPEED_SETTINGS)
    if differing:
        raise ConfigError(
            f"{folder} was begun with other settings ({', '.join(differing[:5])}). "
            "Give these a run of their own with run=<name>, or set overwrite=true and name all folds of the run."
        )


def clear(folder: Path, pattern: str) -> None:
    """Remove a fold's files; its lock stays, since this process holds it."""
    first = ("metrics.json", "state.pt")  # what a killed removal leaves then counts for nothing
    for path in sorted(folder.glob(pattern), key=lambda path: path.name not in first):
        if path.is_file() and path.name != ".lock":
            path.unlink()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a fold's folder meanwhile. Raises InputError where another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise InputError(f"{folder} is being trained by {holder(lock)}. Wait for it, or set run=<name>.") from None
