"""The benchmark's parts that need processes of their own: memory, the start, and what grows with rows and processes."""

import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from okkhor.bench.input_parts import build_anew, repeat_shards
from okkhor.bench.network_parts import TrainingLoop
from okkhor.bench.timing import Apart, Figure, Target, make_figure, read_memory, run_apart
from okkhor.config import Config
from okkhor.data.competition import TestSet, TrainSet
from okkhor.models.network import create_network, place_network
from okkhor.pipeline.inference import Readers, predict_images
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.run import RUNS, fold_folder, read_log
from okkhor.pipeline.training_set import select_training_set
from okkhor.plots import draw_scaling
from okkhor.predictions import write_predictions
from okkhor.schema import SUBMISSION_ORDER
from okkhor.scoring.decoding import decode
from okkhor.scoring.submission import SUBMISSIONS, make_submission, write_submission
from okkhor.training.device import choose_device, choose_precision

EPOCHS = 10  # in the first half the allocator takes all the blocks that it ever will; a leak goes on
SMALL = 32  # pixels: what grows with the rows of test is not the network's time
RUN = "bench-temporary"  # the run of whole commands; removed again
TEAMS = {
    "1 process, 1 thread": ("launch.processes=1", "train.num_threads=1"),
    "1 process, 2 threads": ("launch.processes=1", "train.num_threads=2"),
    "2 processes, 1 thread each": ("launch.processes=2", "train.num_threads=1"),
}


def bench_memory(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """How the memory of training and of a loader's worker grows over the epochs."""
    for num_workers in (0, 2):
        data = replace(config.data, num_workers=num_workers)
        own, workers = run_apart(watch_training, replace(config, data=data), prepared).result
        name = f"{EPOCHS} epochs, {num_workers} workers"
        growth = (own[-1] - own[EPOCHS // 2 - 1]) / 1e6
        yield make_figure("memory", f"{name}: growth over the second half", [growth], "MB", Target("at most", 20))
        if num_workers:
            size = prepared.cache.stat().st_size
            yield make_figure(
                "memory", f"{name}: a worker's own, beside {size / 1e6:.0f} MB of images", [max(workers) / 1e6], "MB"
            )


def watch_training(config: Config, prepared: Prepared) -> tuple[list[int], list[int]]:
    """After each epoch, the bytes that this process holds; at the end, those that each worker shares with none."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    training = select_training_set(config, prepared, fold=0)
    network = place_network(create_network(config.model, config.data.size, training.graphemes), precision.device)
    loop = TrainingLoop(config, training, network, precision)
    held = []
    for _ in range(EPOCHS):
        loop.run()
        held.append(read_memory("smaps_rollup", "Anonymous"))
    workers = [worker.pid for worker in multiprocessing.active_children() if worker.pid]
    return held, [read_memory("smaps_rollup", "Private_Dirty", worker) for worker in workers]


def bench_start(config: Config, prepared: Prepared, arguments: Sequence[str]) -> Iterator[Figure]:  # noqa: ARG001
    """From the command to the state that is saved after the first step, where cache and folds are there."""
    seconds = []
    for _ in range(min(config.bench.repeats, 3)):
        started = time.monotonic()
        with start_training(arguments, "train.save_minutes=0") as process:
            while not (fold_folder(RUN, 0) / "state.pt").exists():
                if process.poll() is not None:
                    raise RuntimeError(f"train ended with status {process.returncode} before its first step")
                time.sleep(0.01)
            seconds.append(time.monotonic() - started)
            process.terminate()
    yield make_figure("start", "second start to first step, saved", seconds, "s", Target("at most", 10))


@contextmanager
def start_training(arguments: Sequence[str], *changes: str) -> Iterator[subprocess.Popen[str]]:
    """./run.sh train with the benchmark's settings and these, as a run that is removed again."""
    shutil.rmtree(RUNS / RUN, ignore_errors=True)
    command = [sys.executable, "-m", "okkhor", "train", *arguments, f"run={RUN}", "fold=0", *changes]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
    shutil.rmtree(RUNS / RUN)
    (SUBMISSIONS / f"{RUN}-fold0.csv").unlink(missing_ok=True)


def bench_scaling(config: Config, prepared: Prepared, arguments: Sequence[str]) -> Iterator[Figure]:
    """Time and memory over the rows, and training by one process and by two; also as a picture."""
    small = replace(config, data=replace(config.data, size=SMALL))
    growth: dict[str, dict[int, Apart[int]]] = {"parquet to cache": {}, "parquet to submission": {}}
    for times in config.bench.multiples:
        many = repeat_shards(prepared.train.shards, times)
        rows = len(many.table)
        costs = run_apart(build_anew, many, config.data), run_apart(submit, small, make_test(many))
        for task, cost, limit in zip(growth, costs, (1.5, 2.0), strict=True):
            growth[task][rows] = cost
            name = f"{task}, {rows:,} rows"
            yield make_figure("scaling", name, [cost.seconds], "s")
            yield make_figure("scaling", f"{name}: peak memory", [cost.memory / 1e9], "GB", Target("at most", limit))
    rates = {}
    for team, changes in TEAMS.items():
        rates[team] = train_whole(arguments, config, *changes)
        yield make_figure("scaling", f"./run.sh train, {team}", [rates[team]], "images/s")
    draw_scaling(growth, rates, RUNS / "bench-scaling.png")


def train_whole(arguments: Sequence[str], config: Config, *changes: str) -> float:
    """Images per second, as the run's own log has it."""
    with start_training(arguments, f"train.max_minutes={config.bench.minutes}", "train.epochs=1", *changes) as process:
        if process.wait():
            raise RuntimeError(f"train {' '.join(changes)} ended with status {process.returncode}")
        return float(read_log(fold_folder(RUN, 0))[-1]["images_per_second"])


def make_test(train: TrainSet) -> TestSet:
    """Its images as those of a test.csv."""
    ids = train.table["image_id"].repeat(len(SUBMISSION_ORDER)).to_numpy()
    parts = np.tile(SUBMISSION_ORDER, len(train.table))
    rows = [f"{image_id}_{part}" for image_id, part in zip(ids, parts, strict=True)]
    return TestSet(pd.DataFrame({"row_id": rows, "image_id": ids, "component": parts}), train.shards)


def submit(config: Config, test: TestSet) -> int:
    """From parquet to a submission, with an untrained network; returns the number of images."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    config = replace(config, model=replace(config.model, graphemes="none"))
    network = place_network(create_network(config.model, config.data.size), precision.device)
    readers = Readers({"untrained": network}, config.data, config.train.batch_size, precision, num_views=1)
    (table,) = predict_images(readers, test)
    decoded = decode(table.probabilities)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=RUNS) as folder:
        write_predictions(table, decoded, Path(folder) / "test.parquet")
        submission = make_submission(test.table, table.image_ids, decoded)
        write_submission(submission, test.table, Path(folder) / "submission.csv")
    return len(table)
