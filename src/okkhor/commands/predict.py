"""./run.sh predict run=<run> data.root=<folder>: the run's networks on a folder's test images, and a submission."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from okkhor.commands.decisions import choose_rule
from okkhor.commands.inference import Readers, load_network, predict_images
from okkhor.commands.members import Member, open_member, read_out_of_fold
from okkhor.commands.prepare import Prepared, prepare
from okkhor.commands.score import print_leaderboard, print_scores, score_table
from okkhor.config import Config
from okkhor.data.competition import TestSet, read_test_set
from okkhor.data.loading import BatchesInOrder, CachedImages
from okkhor.data.workers import BatchLoader
from okkhor.errors import ConfigError, InputError
from okkhor.predictions import Predictions, read_predictions, write_predictions
from okkhor.runs import fold_folder, test_suffix
from okkhor.scoring.decoding import apply_rule, decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, load_stored, split_argument
from okkhor.training.loop import join_batches
from okkhor.training.precision import choose_device, choose_precision
from okkhor.training.views import infer_views


def main(arguments: Sequence[str]) -> None:
    name = dict(map(split_argument, arguments)).get("run")
    if not name:
        raise ConfigError("predict needs run=<run>: whose networks to predict with.")
    member = open_member(name, load_arguments(arguments).fold)
    config = load_stored(fold_folder(member.run, member.folds[0]) / "config.yaml", arguments)
    test = read_test_set(Path(config.data.root))
    if test is None:
        raise InputError(f"data.root={config.data.root}: no test.csv there, so nothing to predict.")
    if member.num_views > 1:
        score_with_views(config, member)
    predict_folds(config, member, test)


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
    predicted = infer_views(network, tqdm(batches, desc=f"Fold {fold}", disable=None), precision, member.num_views)
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
