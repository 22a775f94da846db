"""./run.sh fold=0: train folds; each ends with its out-of-fold score and a submission."""

from collections.abc import Sequence

from okkhor.errors import ConfigError
from okkhor.pipeline.prepared import prepare
from okkhor.pipeline.train import check_settings, train_folds
from okkhor.processes import was_launched
from okkhor.settings import load_config, select_folds


def main(arguments: Sequence[str]) -> None:
    config = load_config(arguments)
    if "@" in config.run:
        raise ConfigError(f"run={config.run}: @ names a variant of a trained run. Name a run without it.")
    folds = select_folds(0 if config.fold is None else config.fold, config.folds.num_folds)
    if config.launch.processes == 1 or was_launched():
        train_folds(config, folds)
        return
    from okkhor.training.launch import launch  # torchrun's engine, for several processes

    check_settings(config, folds)
    prepare(config)  # before the others start: what is wrong is told once
    launch("train", arguments, config.launch.processes)
