"""The benchmark: what it measures, what it writes, and that the pipeline costs little beside the bare work."""

import json
import re
import time
from typing import Any

import pytest
from helpers import Project

from okkhor.bench.timing import Figure, Target, call_apart, measure_share
from okkhor.processes import measure_peak


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def run_bench(project: Project, *arguments: str) -> dict[str, dict[str, Any]]:
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
    assert small.peak_bytes < measure_peak()


def test_a_part_that_is_not_there_is_refused(project: Project) -> None:
    assert "no part 'loade'" in project.call("bench", "bench.parts=[loade]", status=2).stderr


@pytest.mark.slow
def test_the_pipeline_costs_little_beside_the_bare_work(project: Project) -> None:
    """Ratios, and the best of a few pairs: a busy machine slows one of a pair, never makes both look alike."""
    network = ("model.backbone=resnet18", "data.size=64", "bench.sizes=[64]", "train.batch_size=32")
    figures = run_bench(project, "bench.repeats=2", *network)
    shares = [figure for name, figure in figures.items() if name.endswith(", share")]
    assert len(shares) == 6
    # from so few rows the 32,332 columns take most of the time; workers need cores that nobody else uses
    steady = {share["part"]: share for share in shares if not re.match("rows|test|.*[12] workers", share["name"])}
    assert set(steady) == {"loader", "train"}
    assert steady["loader"]["highest"] > 0.5
    assert steady["train"]["highest"] > 0.7
