"""The benchmark: what it measures, what it writes, and that the pipeline costs little beside the bare work."""

import json
import multiprocessing
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from test_pipeline import Project

from okkhor.bench.network import TrainingLoop, make_cases
from okkhor.bench.scaling import make_test, repeat_shards
from okkhor.bench.timing import Figure, Target, call_apart, measure_share, read_memory
from okkhor.data.competition import TrainSet
from okkhor.pipeline.prepared import prepare
from okkhor.schema import HEADS
from okkhor.settings import load_config


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def run_bench(project: Project, *arguments: str) -> dict[str, dict[str, float]]:
    """Run ./run.sh bench on the smoke preset; return the figures of runs/bench.json by name."""
    project.call("bench", "config=smoke", *arguments)
    figures = json.loads((project.folder / "runs/bench.json").read_text())["figures"]
    assert len({figure["name"] for figure in figures}) == len(figures)
    return {figure["name"]: figure for figure in figures}


def test_the_share_is_the_median_of_the_pairs_and_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def take(seconds: float) -> int:
        nonlocal clock
        clock += seconds
        return 100

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    ours, bare = iter([9.0, 2.0, 2.0, 4.0]), iter([0.5, 1.0, 1.5, 1.0])
    rate, most, share = measure_share("n", lambda: take(next(ours)), lambda: take(next(bare)), 3, 0.6, "images/s")
    assert (rate.value, most.value) == (50, 100)
    assert (share.value, share.lowest, share.highest) == (0.5, 0.25, 0.75)
    assert share.is_met is False


def test_a_target_is_met_on_its_own_side() -> None:
    for target, is_met in ((Target("at least", 0.9), True), (Target("at most", 0.8), False), (None, None)):
        assert Figure("name", 0.9, "", 0.9, 0.9, target).is_met is is_met


def test_the_peak_of_a_process_of_its_own_counts_what_it_held_and_nothing_of_ours() -> None:
    ours = b"x" * (600 * 10**6)
    small, large = call_apart(len, b""), call_apart(len, ours[: 200 * 10**6])
    assert (small.result, large.result) == (0, 200 * 10**6)
    assert large.peak_bytes - small.peak_bytes > 190 * 10**6
    assert small.peak_bytes < read_memory("status", "VmHWM")


def test_repeated_shards_have_every_image_under_a_name_of_its_own(train_set: TrainSet) -> None:
    many = repeat_shards(train_set.shards, 3)
    ids = [image_id for shard in many.shards for image_id in shard.image_ids]
    assert many.table["image_id"].tolist() == ids
    assert len(set(ids)) == 3 * len(train_set.table)
    test = make_test(many).table
    assert len(test) == test["row_id"].nunique() == len(HEADS) * len(ids)
    assert np.unique(test["image_id"]).tolist() == sorted(ids)


def test_a_part_that_is_not_there_is_refused(project: Project) -> None:
    assert "no part 'loade'" in project.call("bench", "bench.parts=[loade]", status=2).stderr


@pytest.mark.slow
def test_the_pipeline_costs_little_beside_the_bare_work(project: Project) -> None:
    """Ratios, and the best of a few pairs: a busy machine slows one of a pair, never makes both look alike."""
    network = ("model.backbone=resnet18", "data.size=64", "bench.sizes=[64]", "train.batch_size=32")
    figures = run_bench(project, "bench.parts=[loader,train,predict]", "bench.repeats=2", *network)
    shares = [figure for name, figure in figures.items() if name.endswith(", share")]
    assert len(shares) == 6
    # 400 rows of test images: the 32,332 columns take most of the time; workers need cores that nobody else uses
    steady = [share for share in shares if not re.match("test images|.*[12] workers", str(share["name"]))]
    least = {"loader": 0.5, "train": 0.7, "predict": 0.6}
    assert {share["part"] for share in steady} == set(least)
    for share in steady:
        assert share["highest"] > least[str(share["part"])], share["name"]


@pytest.mark.slow
def test_growth_with_rows_is_measured_and_drawn(project: Project) -> None:
    figures = run_bench(project, "bench.parts=[scaling]", "bench.multiples=[1]", "train.num_threads=1")
    assert figures["parquet to submission, 400 rows"]["value"] > 0
    assert [figure["is_met"] for name, figure in figures.items() if name.endswith("peak memory")] == [True, True]
    assert (project.folder / "runs/bench-scaling.png").read_bytes().startswith(b"\x89PNG")
    assert not list((project.folder / "runs").glob(".bench-*"))


def watch_training(folder: Path, num_workers: int) -> tuple[list[int], list[int]]:
    """After each of ten epochs, the bytes that this process holds; at the end, those that each worker holds alone."""
    os.chdir(folder)
    config = load_config(["config=smoke", f"data.num_workers={num_workers}"])
    loop = TrainingLoop(next(make_cases(config, prepare(config))))
    held = [read_memory("smaps_rollup", "Anonymous") for _ in range(10) if loop.run()]
    workers = [worker.pid for worker in multiprocessing.active_children() if worker.pid]
    return held, [read_memory("smaps_rollup", "Private_Dirty", worker) for worker in workers]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_and_its_workers_hold_no_more_memory_with_every_epoch(project: Project, num_workers: int) -> None:
    held, workers = call_apart(watch_training, project.folder, num_workers).result
    assert held[-1] - held[4] < 20e6  # in the first half the allocator takes all blocks that it ever needs
    assert len(workers) == num_workers
    assert all(own < 100e6 for own in workers)
