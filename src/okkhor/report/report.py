"""okkhor.report.report."""

from collections.abc import Sequence

import numpy as np

from okkhor.config import Config
from okkhor.pipeline.run import fold_folder, read_log
from okkhor.report.figures import draw_learning, draw_recalls, draw_reliability
from okkhor.report.page import Change, Report, Setting
from okkhor.report.run_section import describe_run, estimate_differences
from okkhor.report.source import Source
from okkhor.schema import HEAD_NAMES
from okkhor.settings import flatten_settings

NUM_CHANGES = 12  # classes that two runs read most differently
NAMES = ("config", "fold", "run", "runs", "name", "submission", "overwrite")
"""Settings that name something and decide nothing."""


def make_report(sources: Sequence[Source]) -> Report:
    runs = []
    for source in sources:
        runs.append(describe_run(source, beside=sources[0]))
        for note in (runs[-1].pictures_note, runs[-1].looks_note):
            if note:
                print(f"{source.name}: {note}")
    tables = [source.tables["recall"] for source in sources]
    reliabilities = [source.tables["reliability"] for source in sources]
    logs = [{str(n): read_log(fold_folder(source.member.run, n)) for n in source.member.folds} for source in sources]
    group = sources[0].groups is not None and sources[0].config.folds.group
    comparable = len(sources) == 2 and has_same_images(*sources)
    return Report(
        runs=runs,
        settings=list_settings([source.config for source in sources]),
        learning=draw_learning(logs),
        recall={head: draw_recalls(tables, head) for head in HEAD_NAMES},
        reliability={head: draw_reliability(reliabilities, head) for head in HEAD_NAMES},
        differences=estimate_differences(*sources) if comparable else (),
        changes=find_changes(sources) if comparable else (),
        drawn=f"{group}s and images" if group else "images",
    )


def has_same_images(one: Source, other: Source) -> bool:
    return set(one.whole.image_ids.tolist()) == set(other.whole.image_ids.tolist())


def list_settings(configs: Sequence[Config]) -> list[Setting]:
    """Every setting: first those that differ between the runs, then those that differ from the defaults."""
    default = flatten_settings(Config())
    given = [flatten_settings(config) for config in configs]
    settings = [Setting(key, [values[key] for values in given], default[key]) for key in default if key not in NAMES]
    return sorted(settings, key=lambda setting: (not setting.differs, not setting.is_shown))


def find_changes(sources: Sequence[Source]) -> list[Change]:
    """The classes whose recall differs most between the two."""
    tables = [source.tables["recall"].set_index(["head", "label"]) for source in sources]
    gains = (tables[1]["recall"].reindex(tables[0].index) - tables[0]["recall"]).to_numpy()
    order = np.argsort(-np.abs(gains), kind="stable")[:NUM_CHANGES]
    changes = []
    for key in tables[0].index[order[np.abs(gains[order]) > 0]]:
        row = tables[0].loc[key]
        changes.append(
            Change(key[0], row["component"], key[1], int(row["images"]), [table.loc[key, "recall"] for table in tables])
        )
    return changes
