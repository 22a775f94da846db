"""./run.sh predict run=<run> data.root=<folder>: the run's networks on a folder's test images, and a submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.data.competition import read_test_set
from okkhor.errors import ConfigError, InputError
from okkhor.pipeline.prediction import predict_run
from okkhor.pipeline.run import Run
from okkhor.pipeline.score_details import score_views
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    given = load_arguments(arguments)
    if not given.run:
        raise ConfigError("predict needs run=<run>: whose networks to predict with.")
    run = Run.open(given.run, given.fold)
    config = run.config(arguments)
    test = read_test_set(Path(config.data.root))
    if test is None:
        raise InputError(f"data.root={config.data.root}: no test.csv there, so nothing to predict.")
    if run.num_views > 1:
        score_views(config, run)
    predict_run(config, run, test)
    print(f"Next: ./run.sh package run={given.run}, for Kaggle.")
