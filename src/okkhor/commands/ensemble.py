"""./run.sh ensemble runs=[a,b] name=<x>: several runs as one, scored out of fold, and its submission."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.data.tables import read_test_table
from okkhor.errors import ConfigError
from okkhor.pipeline.ensemble import choose_combination
from okkhor.pipeline.run import (
    ENSEMBLE,
    RUNS,
    fold_folder,
    open_member,
    read_test,
    write_config,
)
from okkhor.pipeline.scores import print_leaderboard
from okkhor.scoring.decoding import apply_rule
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, load_stored, split_argument


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.runs or not config.name:
        raise ConfigError("ensemble needs runs=[<run>,<run>] and name=<name of the submission>.")
    if any((RUNS / config.name).glob("fold*")):
        raise ConfigError(f"name={config.name}: a run is called so, and its submission would be replaced. Set another.")
    members = [open_member(name, config.fold) for name in config.runs]
    first = fold_folder(members[0].run, members[0].folds[0])
    given = dict(map(split_argument, arguments)).get("data.root")
    root = Path(given or load_stored(first / "config.yaml").data.root)
    tests = [read_test(member, root) for member in members]
    test = read_test_table(root)
    combination, rule = choose_combination(members, config)
    combined = combination.apply(tests, config.runs)
    submission = make_submission(test, combined.image_ids, apply_rule(rule, combined))
    path = SUBMISSIONS / f"{config.name}.csv"
    write_submission(submission, test, path)
    write_config(config, RUNS / config.name, ENSEMBLE)
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test)
