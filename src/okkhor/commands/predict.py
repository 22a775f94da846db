"""./run.sh predict run=<run> data.root=<folder>: the run's networks on a folder's test images, and a submission."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from okkhor.commands.score import choose_folds, print_leaderboard
from okkhor.config import Config
from okkhor.data.competition import TestSet, read_test_set
from okkhor.data.loading import stream_images
from okkhor.errors import ConfigError, InputError
from okkhor.models.network import create_network, place_network
from okkhor.models.weights import load_weights, read_graphemes
from okkhor.predictions import Predictions, write_predictions
from okkhor.runs import fold_folder, test_suffix
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import average
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.settings import load_arguments, load_stored, split_argument
from okkhor.training.loop import infer
from okkhor.training.precision import Precision, choose_device, choose_precision


def main(arguments: Sequence[str]) -> None:
    run = dict(map(split_argument, arguments)).get("run")
    if not run:
        raise ConfigError("predict needs run=<run>: whose networks to predict with.")
    folds = choose_folds(run, load_arguments(arguments).fold)
    config = load_stored(fold_folder(run, folds[0]) / "config.yaml", arguments)
    test = read_test_set(Path(config.data.root))
    if test is None:
        raise InputError(f"data.root={config.data.root}: no test.csv there, so nothing to predict.")
    predict_folds(config, run, folds, test)


def predict_folds(config: Config, run: str, folds: Sequence[int], test: TestSet) -> None:
    """Predict the test images with each fold's network, keep the tables, submit the mean."""
    root = Path(config.data.root)
    suffix = test_suffix(run, folds[0], root)
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    networks = [load_network(config, run, fold, precision) for fold in folds]
    members = predict_images(networks, test, config, precision)
    mean = average(members, names=[f"fold {fold}" for fold in folds])
    submission = make_submission(test.table, mean.image_ids, decode(mean.probabilities))
    path = SUBMISSIONS / (f"{run}-fold{folds[0]}{suffix}.csv" if len(folds) == 1 else f"{run}{suffix}.csv")
    write_submission(submission, test.table, path)
    for fold, member in zip(folds, members, strict=True):
        write_predictions(member, decode(member.probabilities), fold_folder(run, fold) / f"test{suffix}.parquet")
    print(f"{path}: {len(submission):,} rows, checked against {root}/test.csv.")
    print_leaderboard(submission, root, test.table)


def load_network(config: Config, run: str, fold: int, precision: Precision) -> nn.Module:
    weights = fold_folder(run, fold) / "model.safetensors"
    graphemes = read_graphemes(weights) if config.model.graphemes != "none" else None
    network = create_network(replace(config.model, pretrained=False), config.data.size, graphemes)
    load_weights(network, weights)
    return place_network(network, precision.device)


def predict_images(
    networks: Sequence[nn.Module], test: TestSet, config: Config, precision: Precision
) -> list[Predictions]:
    """Each network's predictions of all test images, which are read once for all of them."""
    image_ids = np.concatenate([shard.image_ids for shard in test.shards])
    parts: list[list[dict[str, torch.Tensor]]] = [[] for _ in networks]
    with tqdm(total=len(image_ids), desc="Predicting", unit="image", disable=None) as bar:
        for batch_ids, images in stream_images(test.shards, config.data, config.train.batch_size):
            for network, predicted in zip(networks, parts, strict=True):
                predicted.extend(infer(network, [images], precision))
            bar.update(len(batch_ids))
    return [
        Predictions(image_ids, {name: torch.cat([part[name] for part in predicted]).numpy() for name in HEAD_NAMES})
        for predicted in parts
    ]
