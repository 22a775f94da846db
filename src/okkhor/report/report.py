"""`make_report`: one run, or two side by side, as a Report."""

from collections.abc import Sequence
from typing import Any

from okkhor.config import Config
from okkhor.report.figures import draw_learning, draw_recalls, draw_reliability
from okkhor.report.page import Report, Setting
from okkhor.report.run_data import RunData
from okkhor.report.run_section import describe_run, list_differences
from okkhor.schema import HEAD_NAMES
from okkhor.settings import flatten_settings

NUM_CHANGES = 12  # classes whose recall differs most between two runs
NAMES = ("config", "fold", "run", "runs", "name", "submission", "overwrite")
"""Settings that name something and change no result."""


def make_report(runs: Sequence[RunData]) -> Report:
    """Describe one run or two, and print why pictures are missing."""
    described = [describe_run(run, first=runs[0]) for run in runs]
    for run in described:
        for note in filter(None, (run.pictures_note, run.activations_note)):
            print(f"{run.name}: {note}")
    recalls = [run.tables["recall"] for run in runs]
    reliabilities = [run.tables["reliability"] for run in runs]
    logs = [{str(n): run.files.read_log(n) for n in run.files.folds} for run in runs]
    group = runs[0].groups is not None and runs[0].config.folds.group
    comparable = len(runs) == 2 and set(runs[0].whole.image_ids.tolist()) == set(runs[1].whole.image_ids.tolist())
    return Report(
        runs=described,
        settings=list_settings([run.config for run in runs]),
        learning=draw_learning(logs),
        recall={head: draw_recalls(recalls, head) for head in HEAD_NAMES},
        reliability={head: draw_reliability(reliabilities, head) for head in HEAD_NAMES},
        differences=list_differences(*runs) if comparable else (),
        changes=list_changes(*runs) if comparable else (),
        drawn=f"{group}s and images" if group else "images",
    )


def list_settings(configs: Sequence[Config]) -> list[Setting]:
    """Every setting: first those that differ between the runs, then those that differ from the defaults."""
    default = flatten_settings(Config())
    given = [flatten_settings(config) for config in configs]
    settings = [Setting(key, [values[key] for values in given], default[key]) for key in default if key not in NAMES]
    return sorted(settings, key=lambda setting: (not setting.differs, not setting.is_shown))


def list_changes(one: RunData, other: RunData) -> list[Any]:
    """The classes whose recall differs most between two runs on the same images, the largest difference first."""
    keys = ["head", "label"]
    both = one.tables["recall"].merge(other.tables["recall"][[*keys, "recall"]], "left", keys, suffixes=("", "_other"))
    differences = (both["recall_other"] - both["recall"]).abs()
    order = differences[differences > 0].sort_values(ascending=False, kind="stable").index[:NUM_CHANGES]
    return list(both.loc[order].itertuples())
