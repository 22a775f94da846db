"""The benchmark: what it compares, what it writes, and that the pipeline costs little beside the bare work."""

import json
import re

import numpy as np
import pytest
from helpers import Project

from okkhor.bench import timing as bench_timing
from okkhor.bench.growth_parts import RUN, TEAMS, make_test
from okkhor.bench.input_parts import repeat_shards
from okkhor.bench.timing import Figure, Target, compare, read_memory, run_apart
from okkhor.data.competition import TrainSet
from okkhor.schema import HEADS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def read_figures(project: Project) -> dict[str, Figure]:
    content = json.loads((project.folder / "runs/bench.json").read_text())
    figures = []
    for fields in content["figures"]:
        is_met = fields.pop("is_met")
        target = fields.pop("target")
        figures.append(Figure(**fields, target=Target(**target) if target else None))
        assert figures[-1].is_met == is_met
    return {figure.name: figure for figure in figures}


def test_the_share_is_the_median_of_the_pairs_and_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def take(seconds: float) -> int:
        nonlocal clock
        clock += seconds
        return 100

    monkeypatch.setattr(bench_timing, "timer", lambda: clock)
    ours, bare = iter([9.0, 2.0, 2.0, 4.0]), iter([0.5, 1.0, 1.5, 1.0])
    rate, most, share = compare("p", "n", lambda: take(next(ours)), lambda: take(next(bare)), 3, 0.6, "images/s")
    assert (rate.value, most.value) == (50, 100)
    assert (share.value, share.lowest, share.highest) == (0.5, 0.25, 0.75)
    assert share.is_met is False


def test_a_target_is_met_on_its_own_side() -> None:
    def figure(target: Target | None) -> Figure:
        return Figure("part", "name", 0.9, "", 0.9, 0.9, target)

    assert figure(Target("at least", 0.9)).is_met
    assert not figure(Target("at most", 0.8)).is_met
    assert figure(None).is_met is None


def test_the_peak_of_a_process_of_its_own_counts_what_it_held_and_nothing_of_ours() -> None:
    ours = b"x" * (600 * 10**6)
    small, large = run_apart(len, b""), run_apart(len, ours[: 200 * 10**6])
    assert (small.result, large.result) == (0, 200 * 10**6)
    assert large.memory - small.memory > 190 * 10**6
    assert small.memory < read_memory("status", "VmHWM")


def test_repeated_shards_have_every_image_under_a_name_of_its_own(train_set: TrainSet) -> None:
    many = repeat_shards(train_set.shards, 3)
    ids = [image_id for shard in many.shards for image_id in shard.image_ids]
    assert many.table["image_id"].tolist() == ids
    assert len(set(ids)) == 3 * len(train_set.table)
    test = make_test(many).table
    assert len(test) == test["row_id"].nunique() == len(HEADS) * len(ids)
    assert np.unique(test["image_id"]).tolist() == sorted(ids)


def test_the_pipeline_costs_little_beside_the_bare_work(project: Project) -> None:
    """Ratios, and the best of a few pairs: a busy machine slows one of a pair, never makes both look alike."""
    parts = "bench.parts=[loader,train,predict]"
    network = ("model.backbone=resnet18", "data.size=64", "bench.sizes=[64]", "train.batch_size=32")
    project.call("bench", "config=smoke", parts, "bench.repeats=2", *network)
    figures = read_figures(project)
    least = {"loader": 0.5, "train": 0.7, "predict": 0.6}
    shares = [figure for figure in figures.values() if figure.name.endswith(", share")]
    assert len(shares) == 6
    # 400 rows of test images: the 32,332 columns take most of the time; workers need cores that nobody else uses
    steady = [f for f in shares if not f.name.startswith("test images") and not re.search("[12] workers", f.name)]
    assert len(steady) == 3
    for figure in steady:
        assert figure.highest > least[figure.part], figure.name


@pytest.mark.slow
def test_memory_over_the_epochs_and_the_start_are_measured(project: Project) -> None:
    project.run("bench", "config=smoke", "bench.parts=[memory,start]", "train.num_threads=1")
    figures = read_figures(project)
    assert {figure.part for figure in figures.values()} == {"memory", "start"}
    assert figures["10 epochs, 0 workers: growth over the second half"].is_met
    assert not (project.folder / "runs" / RUN).exists(), "the run that was started is left"


@pytest.mark.slow
def test_growth_with_rows_and_processes_is_measured_and_drawn(project: Project) -> None:
    out = project.run(
        "bench", "config=smoke", "bench.parts=[scaling]", "bench.multiples=[1]", "train.num_threads=1"
    ).stdout
    figures = read_figures(project)
    assert all(figures[f"./run.sh train, {team}"].value > 0 for team in TEAMS)
    assert figures["parquet to submission, 400 rows"].value > 0
    assert "2 of 2 targets met" in out
    assert (project.folder / "runs/bench-scaling.png").read_bytes().startswith(b"\x89PNG")
    assert not list((project.folder / "runs").glob(".bench-*"))
    assert not list((project.folder / "submissions").glob("*.csv"))


def test_a_part_that_is_not_there_is_refused(project: Project) -> None:
    assert "no part 'loade'" in project.call("bench", "bench.parts=[loade]", status=2).stderr
