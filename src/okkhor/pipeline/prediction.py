"""okkhor.pipeline.prediction."""

from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from okkhor.config import Config
from okkhor.data.batches import BatchLoader
from okkhor.data.competition import TestSet
from okkhor.data.loading import BatchesInOrder, CachedImages
from okkhor.errors import InputError
from okkhor.pipeline.decoding_choice import choose_rule
from okkhor.pipeline.inference import Readers, load_network, predict_images
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import Member, fold_folder, read_out_of_fold, test_suffix
from okkhor.pipeline.scores import print_leaderboard, print_scores, score_table
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.scoring.decoding import apply_rule, decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_stored
from okkhor.training.device import choose_device, choose_precision
from okkhor.training.loop import join_batches
from okkhor.training.tta import infer_tta


def score_with_views(config: Config, member: Member) -> None:
    """Before they are used: what the views bring on each fold's own validation images, where these are at hand."""
    own = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml").data.root
    config = replace(config, data=replace(config.data, root=own))
    missing = [fold for fold in member.folds if not member.out_of_fold(fold).exists()]
    if missing and not (Path(config.data.root) / "train.csv").exists():
        print(f"Not scored out of fold: {config.data.root}/train.csv is not there.")
        return
    prepared = prepare(config) if missing else None
    scores: dict[str, dict[str, float]] = {}
    for fold in member.folds:
        plain = read_predictions(fold_folder(member.run, fold) / "oof.parquet")
        if prepared is not None and fold in missing:
            predict_out_of_fold(config, member, fold, prepared, plain)
        viewed = read_predictions(member.out_of_fold(fold))
        scores |= {
            f"fold {fold}": score_table(plain)["all"],
            f"fold {fold}, {member.variant}": score_table(viewed)["all"],
        }
    print_scores(scores)


def predict_out_of_fold(config: Config, member: Member, fold: int, prepared: Prepared, plain: Predictions) -> None:
    """The fold's validation images over the member's views. plain: the same without."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    network = load_network(member.weights(fold), config.model, config.data.size, precision)
    rows = prepared.folds.validation_rows(fold)
    if prepared.train.image_ids(rows).tolist() != plain.image_ids.tolist():
        raise InputError(
            f"{prepared.folds.path} is not the split that runs/{member.run} was trained with: fold {fold} has other "
            "images. Bring that file back, or train again."
        )
    images = CachedImages([prepared.cache], rows, prepared.train.labels(rows))
    order = BatchesInOrder(len(rows), config.train.batch_size)
    batches = BatchLoader(images, order, config.data.num_workers, pin=False)
    predicted = infer_tta(network, tqdm(batches, desc=f"Fold {fold}", disable=None), precision, member.num_views)
    table = join_batches(predicted, plain.image_ids, plain.labels, plain.unseen)
    write_predictions(table, decode(table.probabilities), member.out_of_fold(fold))


def predict_folds(config: Config, member: Member, test: TestSet) -> None:
    """Predict the test images with each fold's network, keep the tables, submit the mean as decode.rule says."""
    root, folds = Path(config.data.root), member.folds
    known = read_out_of_fold(member)[1] if config.decode.rule != "argmax" else []
    rule = choose_rule(known, config.decode)  # first: what is missing is told before the hours, not after
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    networks = {
        f"fold {fold}": load_network(member.weights(fold), config.model, config.data.size, precision) for fold in folds
    }
    readers = Readers(networks, config.data, config.train.batch_size, precision, member.num_views)
    tables = predict_images(readers, test)
    mean = combine(tables, names=list(networks))
    submission = make_submission(test.table, mean.image_ids, apply_rule(rule, mean))
    number = f"-fold{folds[0]}" if len(folds) == 1 else ""
    path = SUBMISSIONS / f"{member.run}{number}{member.suffix}{test_suffix(member.run, folds[0], root)}.csv"
    write_submission(submission, test.table, path)
    for fold, table in zip(folds, tables, strict=True):  # last: where they are, the submission is
        write_predictions(table, decode(table.probabilities), member.test(fold, root))
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test.table)
