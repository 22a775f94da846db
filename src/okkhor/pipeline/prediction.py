"""`predict_run`: a run's networks on a data folder's test images, and the submission of their mean."""

from pathlib import Path

from okkhor.config import Config
from okkhor.data.competition import TestSet
from okkhor.data.shards import fingerprint
from okkhor.files import where_allowed
from okkhor.pipeline.inference import Networks, load_network, predict_test
from okkhor.pipeline.run import Run, choose_run_precision
from okkhor.pipeline.scores import print_leaderboard
from okkhor.predictions import Predictions, write_predictions
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import make_submission, write_submission


def predict_run(config: Config, run: Run, test: TestSet) -> None:
    """Predict the test images with each fold's network, keep the tables, submit their mean as the run's decision says.

    config: the run's settings, as the person changed them: data.root, decode.rule, train.device ...
    """
    root = Path(config.data.root)
    run.decision(config.decode)  # first: what is missing is told before the hours, not after
    networks = open_networks(config, run)
    tables = predict_test(networks, test)
    submit_mean(config, run, test, combine(tables, names=list(networks.by_name)))
    for fold, table in zip(run.folds, tables, strict=True):  # last: where they are, the submission is
        with where_allowed(run.test(fold, root)):
            write_predictions(table, decode(table.probabilities), run.test(fold, root), fingerprint(test.shards))


def submit_mean(config: Config, run: Run, test: TestSet, mean: Predictions) -> None:
    """Write the submission of the mean of a run's folds, as the run's decision says; print its local score."""
    root = Path(config.data.root)
    submission = make_submission(test.table, mean.image_ids, run.decision(config.decode).decide(mean))
    path = run.submission(root)
    write_submission(submission, test.table, path)
    folds = f"{len(run.folds)} of {config.folds.num_folds} folds ({', '.join(map(str, run.folds))})"
    print(f"{path}: {len(submission):,} rows by {folds}, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test.table)


def open_networks(config: Config, run: Run) -> Networks:
    """Load the networks of a run's folds to predict with."""
    precision = choose_run_precision(config)
    files = {f"fold {fold}": run.weights(fold) for fold in run.folds}
    networks = {name: load_network(path, config.model, config.data.size, precision) for name, path in files.items()}
    return Networks(networks, config.data, config.train.batch_size, precision, run.num_views)
