"""`train_folds`: train folds one after the other; each ends with its out-of-fold score and a submission."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from filelock import Timeout

from okkhor.config import Config
from okkhor.data.augmentation import parse_policy
from okkhor.data.competition import TestSet
from okkhor.data.shards import fingerprint
from okkhor.errors import ConfigError, InputError, check_extra
from okkhor.files import holder, locking
from okkhor.models.network import create_network
from okkhor.pipeline.fold import find_init_source, finish_fold, train_fold
from okkhor.pipeline.prediction import predict_run
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import Run, choose_run_precision, has_same_data, write_config
from okkhor.predictions import IMAGES, read_note
from okkhor.processes import was_launched
from okkhor.schema import HEADS
from okkhor.settings import differing_settings, load_stored
from okkhor.training.device import choose_device
from okkhor.training.distributed import World, join_world

USAGE_SETTINGS = ("decode", "ensemble", "kaggle", "rehearse", "demo", "bench")  # of what is trained already
FREE_SETTINGS = ("config", "fold", "run", "runs", "name", "submission", "overwrite", *USAGE_SETTINGS)
SPEED_SETTINGS = ("launch", "data.cache_dir", "data.num_workers", "train.compile", "train.device", "train.num_threads")
WATCH_SETTINGS = ("train.save_minutes", "train.max_minutes", "train.profile", "train.tensorboard", "sample.processes")
"""These, FREE_SETTINGS and SPEED_SETTINGS may differ between a run's start and its resume."""


def train_folds(config: Config, folds: Sequence[int]) -> None:
    """Train these folds one after the other; a finished fold is kept."""
    check_settings(config, folds)
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    run = Run(config.run)
    with (
        join_world(choose_device(config.train.device)) as world,
        redirect_stdout(sys.stdout if world.is_main else StringIO()),  # the main process alone prints
    ):
        if config.train.batch_size % (config.train.accumulate * world.size):
            parts = f"{world.size} processes with train.accumulate={config.train.accumulate}"
            raise ConfigError(f"train.batch_size={config.train.batch_size} does not divide among {parts}.")
        prepared = prepare(config)
        if config.overwrite and world.is_main:  # all at once: the same command without overwrite resumes from here
            for fold in folds:
                with hold(run.fold(fold)):
                    clear(run.fold(fold), "*")
        world.agree(0)  # the others wait until all is cleared
        for fold in folds:
            run_fold(config, prepared, fold, world)
        if world.is_main and len(run.finished_folds()) > 1:
            from okkhor.pipeline.cross_validation import sum_up  # of several folds

            sum_up(config, prepared.test if len(folds) > 1 else None)
        print(f"Next: ./run.sh score run={run.name}, report run={run.name}, or another fold.")


def run_fold(config: Config, prepared: Prepared, fold: int, world: World) -> None:
    """Train a fold that is not finished, decide for the run anew, predict the test images.

    The main process holds the fold's folder meanwhile.
    """
    run = Run(config.run, folds=(fold,))
    folder = run.fold(fold)
    with hold(folder) if world.is_main else nullcontext():
        check_same_settings(run, fold, config)  # again: another process may have begun it meanwhile
        if world.agree(run.is_finished(fold)):
            print(f"{folder} is finished and kept; overwrite=true trains it again.")
        else:
            if world.is_main:
                clear(folder, "*" if not run.is_begun(fold) else ".*.tmp")  # what a killed process left
                images = fingerprint(prepared.train.shards, Path(config.data.root) / "train.csv")
                write_config(config, run.config_file(fold), images)
            train_fold(config, prepared, fold, choose_run_precision(config, is_training=True), world)
            if world.is_main:
                finish_fold(folder)
                run.decision(config.decode)
        if world.is_main:
            (folder / "state.pt").unlink(missing_ok=True)  # 342 MB of a ResNet-34; nothing resumes a finished fold
        if world.is_main and prepared.test is not None and not is_predicted(folder / "test.parquet", prepared.test):
            predict_run(config, run, prepared.test)


def is_predicted(table: Path, test: TestSet) -> bool:
    return table.exists() and read_note(table, IMAGES) in ("", fingerprint(test.shards))  # "": of 0.1.0


def check_settings(config: Config, folds: Sequence[int]) -> None:
    """Raise now what training would raise after minutes of preparation: about the device, the network, the run."""
    run = Run(config.run)
    is_launcher = config.launch.processes > 1 and not was_launched()  # it would hold a GPU, and its processes check too
    device = choose_device(config.train.device, is_used=not is_launcher)
    parse_policy(config.augment.policy)
    if config.train.tensorboard:
        check_extra("tensorboard", "tensorboard", purpose="train.tensorboard=true")
    new_folds = [fold for fold in folds if config.overwrite or not run.is_begun(fold)]
    if not is_launcher and any(config.overwrite or not run.is_finished(fold) for fold in folds):
        choose_run_precision(config, is_training=True)
        if config.train.compile != "none":
            from okkhor.training.compiling import check_compiler  # where it is asked for

            check_compiler(config.train, device)
    if new_folds:
        create_network(config.model, config.data.size, graphemes=np.zeros((1, len(HEADS)), np.int64))
    if config.data.pseudo:
        from okkhor.pipeline.pseudo_labels import check_pseudo  # where it is asked for

        check_pseudo(config, new_folds)
    if config.decode.rule == "grapheme" and config.model.graphemes == "none":
        raise ConfigError("decode.rule=grapheme needs a grapheme head. Set model.graphemes=linear or arcface.")
    if config.model.init_from:
        for fold in new_folds:
            find_init_source(config, fold)
    for path in sorted(run.folder.glob("fold*/config.yaml")):
        fold = int(path.parent.name.removeprefix("fold"))
        if not (config.overwrite and fold in folds):
            check_same_settings(run, fold, config)


def check_same_settings(run: Run, fold: int, config: Config) -> None:
    """Raise ConfigError where a fold of the run was begun with other settings: all folds share theirs."""
    path = run.config_file(fold)
    if not path.exists():
        return
    differing = differing_settings(load_stored(path), config, FREE_SETTINGS + SPEED_SETTINGS + WATCH_SETTINGS)
    if "data.root" in differing and has_same_data(config, run, fold):
        differing.remove("data.root")
    if differing:
        raise ConfigError(
            f"{path.parent} was begun with other settings ({', '.join(differing[:5])}). "
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
    """Hold a fold's folder meanwhile. Raise InputError where another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    try:
        with locking(lock):
            yield
    except Timeout:
        raise InputError(f"{folder} is being trained by {holder(lock)}. Wait for it, or set run=<name>.") from None
