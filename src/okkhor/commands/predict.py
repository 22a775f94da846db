"""./run.sh predict run=<run> data.root=<folder>: the run's networks on a folder's test images, and a submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.data.competition import read_test_set
from okkhor.errors import ConfigError, InputError
from okkhor.pipeline.prediction import predict_folds, score_with_views
from okkhor.pipeline.run import fold_folder, open_member
from okkhor.settings import load_arguments, load_stored, split_argument


def main(arguments: Sequence[str]) -> None:
    name = dict(map(split_argument, arguments)).get("run")
    if not name:
        raise ConfigError("predict needs run=<run>: whose networks to predict with.")
    member = open_member(name, load_arguments(arguments).fold)
    config = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml", arguments)
    test = read_test_set(Path(config.data.root))
    if test is None:
        raise InputError(f"data.root={config.data.root}: no test.csv there, so nothing to predict.")
    if member.num_views > 1:
        score_with_views(config, member)
    predict_folds(config, member, test)
