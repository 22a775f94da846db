"""Far more than the competition has, in bounded memory: the long form alone (./run.sh test faults)."""

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from okkhor.data.batches import BatchLoader
from processes import context, finish, start
from tries import LONG, in_project, record

from okkhor.config import Config, DataConfig, FoldsConfig, ModelConfig, TrainConfig
from okkhor.data.augmentation import Augmentation
from okkhor.data.folds import load_folds
from okkhor.data.loading import BatchesInOrder, CachedImages, ShuffledBatches
from okkhor.data.tables import read_train_table
from okkhor.label_triples import Labels, count_triples, write_triples
from okkhor.models.network import create_network
from okkhor.pipeline.fold import make_trainer, save_predictor, validate
from okkhor.pipeline.training_set import TrainingSet
from okkhor.predictions import Predictions, write_predictions
from okkhor.schema import HEADS, SUBMISSION_ORDER
from okkhor.scoring.decoding import decode
from okkhor.training.device import Precision
from okkhor.training.distributed import World
from okkhor.training.fit import fit
from okkhor.training.loop import infer

pytestmark = pytest.mark.skipif(not LONG, reason="minutes: ./run.sh test faults")

ROWS = 1_000_000  # of an out-of-fold table; train.csv has 200,840
GRAPHEMES = pd.read_csv(Path(__file__).resolve().parents[2] / "src/okkhor/rendering/graphemes_1295.csv")


def make_table(image_ids: list[str], labels: Labels | None, seed: int) -> Predictions:
    """Probabilities that are right about half of the time."""
    random = np.random.default_rng(seed)
    probabilities = {}
    for head in HEADS:
        values = random.random((len(image_ids), head.num_classes), np.float32)
        if labels is not None:
            values[np.arange(len(values)), labels[head.name]] += random.random(len(values), np.float32) * 2
        probabilities[head.name] = values / values.sum(axis=1, keepdims=True)
    return Predictions(np.array(image_ids), probabilities, labels)


def write_run(project: Path, name: str, seed: int) -> None:
    """A finished fold with a large table, and predictions of three test images."""
    folder = project / "runs" / name / "fold0"
    folder.mkdir(parents=True)
    chosen = np.random.default_rng(0).integers(0, len(GRAPHEMES), ROWS)
    labels = Labels.from_table(GRAPHEMES).rows(chosen)
    table = make_table([f"Train_{number}" for number in range(ROWS)], labels, seed)
    write_predictions(table, decode(table.probabilities), folder / "oof.parquet")
    test = make_table(["Test_0", "Test_1", "Test_2"], None, seed)
    write_predictions(test, decode(test.probabilities), folder / "test.parquet")
    write_triples(count_triples(labels), folder / "graphemes.csv")
    config = json.loads(json.dumps(asdict(Config(run=name))))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.json").write_text("{}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = in_project(tmp_path_factory.mktemp("project"))
    for seed, name in enumerate(("one", "two")):
        write_run(folder, name, seed)
    root = folder / Config().data.root
    root.mkdir(parents=True)
    rows = [(f"Test_{number}_{head}", f"Test_{number}", head) for number in range(3) for head in SUBMISSION_ORDER]
    pd.DataFrame(rows, columns=["row_id", "image_id", "component"]).to_csv(root / "test.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("arguments", "most"), [(("score", "run=one"), 3), (("ensemble", "runs=[one,two]", "name=e"), 4)]
)
def test_a_million_rows_are_scored_and_ensembled(project: Path, arguments: tuple[str, ...], most: int) -> None:
    """most: GB of memory; one table has .74 GB of probabilities."""
    started = time.monotonic()
    assert finish(start(project, *arguments), timeout=3000) == 0, (project / "output.txt").read_text()
    seconds = time.monotonic() - started
    peak = int((project / "output.txt").read_text().splitlines()[-1].split()[-1]) * 1024 / 1e9
    record(f"{arguments[0]} of {ROWS:,} rows", f"{seconds:.0f} s, {peak:.1f} GB")
    assert peak < most


def fold_millions(folder: Path) -> None:
    random = np.random.default_rng(0)
    table = GRAPHEMES.iloc[random.integers(0, len(GRAPHEMES), 2 * ROWS)].reset_index(drop=True)
    table.insert(0, "image_id", [f"Train_{number}" for number in range(2 * ROWS)])
    table.to_csv(folder / "train.csv", index=False)
    started = time.monotonic()
    read = read_train_table(folder)
    folds = load_folds(read, folder, FoldsConfig())
    assert len(folds.numbers) == 2 * ROWS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    (folder / "measured.txt").write_text(f"{time.monotonic() - started:.0f} s, {peak:.1f} GB")


def test_a_train_csv_of_two_million_rows_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = context.Process(target=in_folder, args=(tmp_path, fold_millions))
    process.start()
    assert finish(process, timeout=3000) == 0
    record(f"folds of {2 * ROWS:,} rows", (tmp_path / "measured.txt").read_text())


def in_folder(folder: Path, function: Callable[[Path], None]) -> None:
    os.chdir(folder)
    function(folder)


def resident() -> tuple[float, int]:
    """MB of memory of this process and its loader workers, and the number of files that this one has open."""
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    pages = 0
    for number in ("self", *(number for numbers in children for number in numbers)):
        pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6, len(list(Path("/proc/self/fd").iterdir()))


def test_a_hundred_thousand_predictions_leave_memory_and_files_as_they_were() -> None:
    network = create_network(ModelConfig(backbone="test_resnet"), image_size=32)
    images = torch.zeros(64, 1, 32, 32, dtype=torch.uint8)

    def batches(number: int) -> Iterator[torch.Tensor]:
        for _ in range(number // 64):
            yield images

    precision = Precision(torch.device("cpu"), torch.float32)
    for _ in infer(network, batches(10_000), precision):
        pass
    before, files = resident()
    for _ in infer(network, batches(100_000), precision):
        pass
    after, files_after = resident()
    record("100,000 predictions", f"{after - before:+.1f} MB, {files_after - files:+} files")
    assert after - before < 20
    assert files_after == files


STEPS_PER_EPOCH, EPOCHS = 100, 110


def test_ten_thousand_steps_of_training_leave_memory_and_files_as_they_were(tmp_path: Path) -> None:
    """With a loader's worker, augmentation, the mean of the weights, validation and a state after each epoch."""
    random, number = np.random.default_rng(0), 8 * STEPS_PER_EPOCH
    config = Config(
        data=DataConfig(size=32),
        model=ModelConfig(backbone="test_resnet"),
        train=TrainConfig(epochs=EPOCHS, batch_size=8, ema_decay=0.99),
    )
    np.save(tmp_path / "images.npy", random.integers(0, 256, (number, 32, 32), np.uint8))
    labels = Labels(np.stack([random.integers(0, head.num_classes, number) for head in HEADS], axis=1))
    training = TrainingSet([tmp_path / "images.npy"], np.arange(number), labels, np.zeros((1, 3), np.int64))
    images = CachedImages(training.caches, training.rows, labels, Augmentation(config.augment))
    order = ShuffledBatches(number, 8, seed=0)
    network = create_network(config.model, image_size=32)
    precision = Precision(torch.device("cpu"), torch.float32)
    trainer = make_trainer(network, config, precision, training, len(order), World())
    truth = Predictions(np.array([f"Train_{row}" for row in range(64)]), {}, labels.rows(slice(64)))
    held_out = BatchLoader(
        CachedImages(training.caches, np.arange(64), labels.rows(slice(64))), BatchesInOrder(64, 64), 0, False
    )
    measured: dict[int, tuple[float, int]] = {}
    fit(
        trainer,
        BatchLoader(images, order, 1, False, keeps_workers=True),
        order,
        validate=partial(validate, batches=held_out, truth=truth, precision=precision, world=World()),
        save=partial(save_predictor, folder=tmp_path),
        folder=tmp_path,
        prepare_epoch=lambda epoch, _: measured.update({epoch: resident()}),
    )
    (before, files), (after, files_after) = measured[EPOCHS - 101], measured[EPOCHS - 1]
    record("10,000 steps of training", f"{after - before:+.1f} MB, {files_after - files:+} files")
    assert after - before < 30
    assert files_after == files
