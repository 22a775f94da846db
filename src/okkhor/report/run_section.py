"""What a report says of one run: its scores with intervals, its mistakes, its classes, what it cost."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.label_triples import Labels
from okkhor.pipeline.run import fold_folder, read_log
from okkhor.report.page import ClassRecall, Cost, RunReport, Score, ScoreRow
from okkhor.report.picture_section import picture_mistakes, picture_pairs, show_attention
from okkhor.report.source import Source
from okkhor.schema import HEAD_NAMES, IMAGE_HEIGHT, IMAGE_WIDTH
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import bootstrap_heads, competition_score, interval, subsets_of
from okkhor.scoring.mistakes import expected_calibration_error


def describe_run(source: Source, beside: Source) -> RunReport:
    """beside: the first run of the report, whose images the other one's looks are of too."""
    data = source.config.data
    looks, looks_note = show_attention(source, beside)
    gone = f"{data.root} is not here, so there are no pictures. Name the folder: data.root=<folder>"
    return RunReport(
        name=source.name,
        preset=source.config.config,
        data=data.root,
        backbone=source.config.model.backbone,
        size=data.size,
        aspect=1.0 if data.crop_to_ink else IMAGE_WIDTH / IMAGE_HEIGHT,
        num_images=len(source.whole),
        rows=list_scores(source),
        pairs=picture_pairs(source),
        mistakes=picture_mistakes(source),
        looks=looks,
        classes=list_classes(source.tables["recall"]),
        calibration_errors=expected_calibration_error(source.tables["reliability"]),
        costs=measure_costs(source),
        versions=source.versions,
        looks_note=looks_note if source.images else "",
        pictures_note="" if source.images else gone,
    )


def list_scores(source: Source) -> list[ScoreRow]:
    """All images as one set, its subsets, and each fold, where there are several."""
    whole = source.whole
    decided = decode(whole.probabilities)
    several = len(source.folds) > 1
    names = {"all": "all folds" if several else f"fold {source.member.folds[0]}", "mix": "mix as in the private test"}
    subsets = {names.get(name, name): weights for name, weights in subsets_of(whole.unseen, len(whole)).items()}
    if several:
        which = np.repeat(source.member.folds, [len(fold.predictions) for fold in source.folds])
        subsets |= {f"fold {number}": (which == number).astype(np.float64) for number in source.member.folds}
    return [estimate(name, source, decided, weights) for name, weights in subsets.items()]


def estimate(name: str, source: Source, decided: Labels, weights: NDArray[np.float64]) -> ScoreRow:
    """The scores of a subset, with the interval of sets of its size drawn from it."""
    rows = weights > 0
    labels, read = select(source.whole.labels, rows), select(decided, rows)
    scores = competition_score(labels, read, weights[rows])
    draws = bootstrap_heads(labels, [read], weights[rows], groups=groups_of(source, rows))
    return ScoreRow(name, int(rows.sum()), {key: Score(scores[key], *interval(draws[key][0])) for key in scores})


def estimate_differences(one: Source, other: Source) -> list[ScoreRow]:
    """The other run's scores less the first's, on the same images, which are drawn for both at once."""
    places = {image_id: row for row, image_id in enumerate(other.whole.image_ids.tolist())}
    order = np.array([places[image_id] for image_id in one.whole.image_ids.tolist()])
    decided = [decode(one.whole.probabilities), select(decode(other.whole.probabilities), order)]
    labels = one.whole.labels
    assert labels is not None
    found = []
    for name, weights in subsets_of(one.whole.unseen, len(one.whole)).items():
        rows = weights > 0
        truth, read = select(labels, rows), [select(table, rows) for table in decided]
        before, after = (competition_score(truth, table, weights[rows]) for table in read)
        draws = bootstrap_heads(truth, read, weights[rows], groups=groups_of(one, rows))
        gains = {key: Score(after[key] - before[key], *interval(draws[key][1] - draws[key][0])) for key in before}
        found.append(ScoreRow(name, int(rows.sum()), gains))
    return found


def groups_of(source: Source, rows: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """The groups of these rows, numbered anew from 0."""
    return None if source.groups is None else pd.factorize(source.groups[rows])[0].astype(np.int64)


def select(table: Labels | None, rows: NDArray[Any]) -> Labels:
    """These rows of what each head says."""
    assert table is not None, "out of fold the labels are known"
    return table.rows(rows)


def list_classes(table: pd.DataFrame) -> dict[str, list[ClassRecall]]:
    """For each head, its classes, the one with the lowest recall first."""
    return {
        head: [
            ClassRecall(row.component, row.label, row.images, row.training_images, row.recall)
            for row in table[table["head"] == head].itertuples()
        ]
        for head in HEAD_NAMES
    }


def measure_costs(source: Source) -> list[Cost]:
    """What each fold's training took, from its log."""
    costs = []
    for number, fold in zip(source.member.folds, source.folds, strict=True):
        log = read_log(fold_folder(source.member.run, number))
        seconds = float(np.mean([line["seconds"] for line in log]))
        costs.append(Cost(number, len(log), int(fold.graphemes.images.sum()), seconds))
    return costs
