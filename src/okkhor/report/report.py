"""`make_report`: what a report says of one run, or of two side by side, as a Report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.config import Config
from okkhor.label_triples import Labels
from okkhor.report.figures import draw_learning, draw_recalls, draw_reliability
from okkhor.report.page import Cost, Report, RunReport, Score, ScoreRow, Setting
from okkhor.report.picture_section import picture_activations, picture_mistakes, picture_pairs
from okkhor.report.run_data import RunData
from okkhor.schema import HEAD_NAMES, IMAGE_HEIGHT, IMAGE_WIDTH
from okkhor.scoring.metric import bootstrap_heads, competition_score, interval, subsets_of
from okkhor.scoring.mistakes import expected_calibration_error
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


def describe_run(run: RunData, first: RunData) -> RunReport:
    """Describe a run. first: the report's first run; class activations of both runs show the same images."""
    data, recall = run.config.data, run.tables["recall"]
    activations, note = picture_activations(run, first)
    gone = f"{data.root} is not here, so there are no pictures. Name the folder: data.root=<folder>"
    return RunReport(
        name=run.name,
        config=run.config,
        aspect=1.0 if data.crop_to_ink else IMAGE_WIDTH / IMAGE_HEIGHT,
        num_images=len(run.whole),
        rows=list_scores(run),
        pairs=picture_pairs(run),
        mistakes=picture_mistakes(run),
        activations=activations,
        classes={head: list(recall[recall["head"] == head].itertuples()) for head in HEAD_NAMES},
        calibration_errors=expected_calibration_error(run.tables["reliability"]),
        costs=measure_costs(run),
        versions=run.versions,
        activations_note=note if run.images else "",
        pictures_note="" if run.images else gone,
    )


def list_scores(run: RunData) -> list[ScoreRow]:
    """The scores of all images, of seen and unseen graphemes, and of each fold if there are several."""
    whole, numbers = run.whole, run.files.folds
    several = len(numbers) > 1
    names = {"all": "all folds" if several else f"fold {numbers[0]}", "mix": "mix as in the private test"}
    subsets = {names.get(name, name): weights for name, weights in subsets_of(whole.unseen, len(whole)).items()}
    if several:
        fold_of = np.repeat(numbers, [len(fold.predictions) for fold in run.folds])
        subsets |= {f"fold {number}": (fold_of == number).astype(np.float64) for number in numbers}
    return [estimate(name, run, [run.decoded], weights) for name, weights in subsets.items()]


def list_differences(one: RunData, other: RunData) -> list[ScoreRow]:
    """The other run's scores minus the first run's, on the same images in the same bootstrap samples."""
    rows = pd.Index(other.whole.image_ids).get_indexer(one.whole.image_ids)
    decoded = [one.decoded, other.decoded.rows(rows)]
    subsets = subsets_of(one.whole.unseen, len(one.whole))
    return [estimate(name, one, decoded, weights) for name, weights in subsets.items()]


def estimate(name: str, run: RunData, decoded: Sequence[Labels], weights: NDArray[np.float64]) -> ScoreRow:
    """The scores of a subset, with 95 % intervals by the bootstrap; with two `decoded`, the second's minus the first's.

    weights: (N,) float64, 0 for images outside the subset.
    """
    rows = weights > 0
    truth, chosen = run.labels.rows(rows), [labels.rows(rows) for labels in decoded]
    groups = None if run.groups is None else pd.factorize(run.groups[rows])[0].astype(np.int64)
    scores = [competition_score(truth, labels, weights[rows]) for labels in chosen]
    draws = bootstrap_heads(truth, chosen, weights[rows], groups=groups)
    found = {}
    for key in scores[0]:
        value, drawn = scores[-1][key], draws[key][-1]
        if len(decoded) == 2:
            value, drawn = value - scores[0][key], drawn - draws[key][0]
        found[key] = Score(value, *interval(drawn))
    return ScoreRow(name, int(rows.sum()), found)


def measure_costs(run: RunData) -> list[Cost]:
    """The cost of training each fold, from its log."""
    costs = []
    for number, fold in zip(run.files.folds, run.folds, strict=True):
        log = run.files.read_log(number)
        seconds = max(0.1, float(np.mean([line["seconds"] for line in log])))  # the log rounds to 0.1 s
        costs.append(Cost(number, len(log), int(fold.graphemes.images.sum()), seconds))
    return costs
