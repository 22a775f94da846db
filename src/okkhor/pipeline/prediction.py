"""`predict_run`: a run's networks on a data folder's test images, and the submission of their mean."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from okkhor.config import Config
from okkhor.data.competition import TestSet
from okkhor.data.loading import BatchesInOrder, CachedImages, Loader
from okkhor.errors import InputError
from okkhor.files import where_allowed
from okkhor.pipeline.inference import Networks, load_network, predict, predict_test
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import Run, choose_run_precision
from okkhor.pipeline.scores import print_leaderboard, print_scores, score_table
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import make_submission, write_submission


def predict_run(config: Config, run: Run, test: TestSet) -> None:
    """Predict the test images with each fold's network, keep the tables, submit their mean as the run's decision says.

    config: the run's settings, as the person changed them: data.root, decode.rule, train.device ...
    """
    root = Path(config.data.root)
    decision = run.decision(config.decode)  # first: what is missing is told before the hours, not after
    networks = open_networks(config, run)
    tables = predict_test(networks, test)
    mean = combine(tables, names=list(networks.by_name))
    submission = make_submission(test.table, mean.image_ids, decision.decide(mean))
    path = run.submission(root)
    write_submission(submission, test.table, path)
    for fold, table in zip(run.folds, tables, strict=True):  # last: where they are, the submission is
        with where_allowed(run.test(fold, root)):
            write_predictions(table, decode(table.probabilities), run.test(fold, root))
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test.table)


def open_networks(config: Config, run: Run) -> Networks:
    """Load the networks of a run's folds to predict with."""
    precision = choose_run_precision(config)
    files = {f"fold {fold}": run.weights(fold) for fold in run.folds}
    networks = {name: load_network(path, config.model, config.data.size, precision) for name, path in files.items()}
    return Networks(networks, config.data, config.train.batch_size, precision, run.num_views)


def score_views(config: Config, run: Run) -> None:
    """Print what test-time augmentation brings on each fold's validation images, where these are at hand."""
    config = replace(config, data=replace(config.data, root=run.config().data.root))
    missing = [fold for fold in run.folds if not run.out_of_fold(fold).exists()]
    if missing and not (Path(config.data.root) / "train.csv").exists():
        print(f"Not scored out of fold: {config.data.root}/train.csv is not there.")
        return
    prepared = prepare(config) if missing else None
    scores: dict[str, dict[str, float]] = {}
    for fold in run.folds:
        plain = read_predictions(Run(run.name).out_of_fold(fold))
        if prepared is not None and fold in missing:
            predict_out_of_fold(config, replace(run, folds=(fold,)), prepared, plain)
        viewed = read_predictions(run.out_of_fold(fold))
        scores |= {f"fold {fold}": score_table(plain)["all"], f"fold {fold}, {run.variant}": score_table(viewed)["all"]}
    print_scores(scores)


def predict_out_of_fold(config: Config, run: Run, prepared: Prepared, plain: Predictions) -> None:
    """Predict a fold's validation images over the run's views. plain: the fold's table without views."""
    (fold,) = run.folds
    rows = prepared.folds.validation_rows(fold)
    if prepared.train.image_ids(rows).tolist() != plain.image_ids.tolist():
        raise InputError(
            f"{prepared.folds.path} is not the split that {run.folder} was trained with: fold {fold} has other "
            "images. Bring that file back, or train again."
        )
    networks = open_networks(config, run)
    images = CachedImages([prepared.cache], rows, prepared.train.labels(rows))
    with closing(Loader(images, BatchesInOrder(len(rows), networks.batch_size), config.data.num_workers)) as loader:
        batches = tqdm(loader.epoch(), total=len(loader), desc=f"Fold {fold}", disable=None)
        modules = list(networks.by_name.values())
        (table,) = predict(modules, batches, plain.image_ids, networks.precision, run.num_views)
    table = replace(table, labels=plain.labels, unseen=plain.unseen)
    write_predictions(table, decode(table.probabilities), run.out_of_fold(fold))
