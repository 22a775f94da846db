"""`score_views`: what test-time augmentation brings out of fold."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from okkhor.config import Config
from okkhor.data.loading import BatchesInOrder, CachedImages, Loader
from okkhor.errors import InputError
from okkhor.pipeline.inference import predict
from okkhor.pipeline.prediction import open_networks
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import Run
from okkhor.pipeline.scores import print_scores, score_table
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.scoring.decoding import decode


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
