"""`sum_up`: the cross-validation over a run's finished folds, and the submission of their mean."""

from pathlib import Path

import pandas as pd

from okkhor.config import Config
from okkhor.data.competition import TestSet
from okkhor.pipeline.prediction import submit_mean
from okkhor.pipeline.run import Run
from okkhor.pipeline.scores import print_scores, score_table


def sum_up(config: Config, test: TestSet | None) -> None:
    """Score all finished folds as one set, with the spread over folds; submit the mean of their tables of `test`."""
    run, root = Run.open(config.run), Path(config.data.root)
    whole, folds = run.read_out_of_fold()
    scores = pd.DataFrame([score_table(fold.predictions)["all"] for fold in folds])
    print(f"{run.name}, out of fold, {len(folds)} of {config.folds.num_folds} folds, {len(whole):,} images:")
    print_scores({"all": score_table(whole)["all"], "spread of the folds": scores.std(ddof=0).to_dict()})
    if test is not None and all(run.test(fold, root).exists() for fold in run.folds):
        submit_mean(config, run, test, run.read_test(root))
