"""./run.sh ensemble runs=[a,b] name=<x>: several runs as one, scored out of fold, and its submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.data.tables import read_test_table
from okkhor.errors import ConfigError
from okkhor.pipeline.ensemble import Ensemble
from okkhor.pipeline.run import Run, write_config
from okkhor.pipeline.scores import print_leaderboard
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, split_argument


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.runs or not config.name:
        raise ConfigError("ensemble needs runs=[<run>,<run>] and name=<name of the submission>.")
    if any(Run(config.name).folder.glob("fold*")):
        raise ConfigError(f"name={config.name}: a run is called so, and its submission would be replaced. Set another.")
    ensemble = Ensemble.open(config)
    is_given = "data.root" in dict(map(split_argument, arguments))
    root = Path((config if is_given else ensemble.members[0].config()).data.root)
    tests = [member.read_test(root) for member in ensemble.members]
    test = read_test_table(root)
    decision = ensemble.decision(anew=True)
    combined = decision.combination.apply(tests, config.runs)
    submission = make_submission(test, combined.image_ids, decision.decide(combined))
    path = SUBMISSIONS / f"{config.name}.csv"
    write_submission(submission, test, path)
    write_config(config, Ensemble.settings_file(config.name))
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test)
    print(f"Next: ./run.sh package run={config.name}, for Kaggle.")
