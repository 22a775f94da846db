"""How time and memory grow with the rows: `bench_scaling`, which also draws runs/bench-scaling.png."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Picture

from okkhor.bench.input import build_anew
from okkhor.bench.timing import Apart, Figure, Target, call_apart, make_figure
from okkhor.config import Config
from okkhor.data.competition import TestSet, TrainSet
from okkhor.data.shards import Shard
from okkhor.files import replacing
from okkhor.models.network import create_network, place_network
from okkhor.pipeline.inference import Networks, predict_test
from okkhor.pipeline.prepared import Prepared
from okkhor.pipeline.run import RUNS
from okkhor.predictions import write_predictions
from okkhor.schema import SUBMISSION_ORDER
from okkhor.scoring.decoding import decode
from okkhor.scoring.submission import make_submission, write_submission
from okkhor.training.device import choose_device, choose_precision

SIZE = 32  # pixels: so small that the network's time hides nothing of what grows with the rows
PICTURE = RUNS / "bench-scaling.png"


def bench_scaling(config: Config, prepared: Prepared) -> Iterator[Figure]:
    """Measure seconds and peak memory from parquet to cache and from parquet to submission, for bench.multiples."""
    small = replace(config, data=replace(config.data, size=SIZE))
    growth: dict[str, dict[int, Apart]] = {"parquet to cache": {}, "parquet to submission": {}}
    for times in config.bench.multiples:
        train = repeat_shards(prepared.train.shards, times)
        rows = len(train.table)
        costs = call_apart(build_anew, train, config.data), call_apart(predict_and_submit, small, make_test(train))
        for task, cost, limit in zip(growth, costs, (1.5, 2.0), strict=True):
            growth[task][rows] = cost
            name = f"{task}, {rows:,} rows"
            yield make_figure(name, [cost.seconds], "s")
            yield make_figure(f"{name}: peak memory", [cost.peak_bytes / 1e9], "GB", Target("at most", limit))
    draw_scaling(growth, PICTURE)


def repeat_shards(shards: Sequence[Shard], times: int) -> TrainSet:
    """Make a large set without its disk space: the same files several times, each time with other image_ids."""
    repeated = [
        Shard(shard.path, np.char.add(shard.image_ids, f"_{time}")) for time in range(times) for shard in shards
    ]
    ids = np.concatenate([shard.image_ids for shard in repeated])
    return TrainSet(pd.DataFrame({"image_id": ids}), tuple(repeated))


def make_test(train: TrainSet) -> TestSet:
    """Make a test set of the train images."""
    ids = train.table["image_id"].repeat(len(SUBMISSION_ORDER)).to_numpy()
    components = np.tile(SUBMISSION_ORDER, len(train.table))
    rows = [f"{image_id}_{component}" for image_id, component in zip(ids, components, strict=True)]
    return TestSet(pd.DataFrame({"row_id": rows, "image_id": ids, "component": components}), train.shards)


def predict_and_submit(config: Config, test: TestSet) -> int:
    """Write a submission from parquet files with an untrained network; return the number of images."""
    precision = choose_precision(config.train.precision, choose_device(config.train.device))
    config = replace(config, model=replace(config.model, graphemes="none"))
    network = place_network(create_network(config.model, config.data.size), precision.device)
    networks = Networks({"untrained": network}, config.data, config.train.batch_size, precision, num_views=1)
    (table,) = predict_test(networks, test)
    decoded = decode(table.probabilities)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=RUNS) as folder:
        write_predictions(table, decoded, Path(folder) / "test.parquet")
        submission = make_submission(test.table, table.image_ids, decoded)
        write_submission(submission, test.table, Path(folder) / "submission.csv")
    return len(table)


def draw_scaling(growth: Mapping[str, Mapping[int, Apart]], path: Path) -> None:
    """Draw seconds and peak memory over the rows, a line for each task, as PNG. growth: by task and number of rows."""
    picture = Picture(figsize=(7.5, 3.4), layout="constrained")  # inches
    time, memory = picture.subplots(1, 2)
    for task, costs in growth.items():
        thousands = [rows / 1000 for rows in costs]
        time.plot(thousands, [cost.seconds for cost in costs.values()], marker="o", label=task)
        memory.plot(thousands, [cost.peak_bytes / 1e9 for cost in costs.values()], marker="o", label=task)
    time.legend()
    for panel, label in ((time, "seconds"), (memory, "peak memory, GB")):
        panel.set(xlabel="thousand rows", ylabel=label)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        picture.savefig(temporary, format="png", dpi=100)
