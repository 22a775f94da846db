"""The benchmark: what it compares, what it writes, and that the pipeline costs little beside the bare work."""

import json
import time

import pytest
from test_pipeline import Project

from okkhor.commands.bench_timing import Figure, Target, compare, read_memory, run_apart

WHOLE_BENCH = ("loader", "train")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def read_figures(project: Project) -> dict[str, dict[str, object]]:
    figures = json.loads((project.folder / "runs/bench.json").read_text())["figures"]
    return {figure["name"]: figure for figure in figures}


def sleep_for(seconds: float) -> int:
    time.sleep(seconds)
    return 100


def test_the_share_is_the_median_of_the_pairs_and_warm_up_does_not_count() -> None:
    ours, bare = iter([0.2, 0.02, 0.02, 0.04]), iter([0.0, 0.01, 0.01, 0.01])
    rate, _, share = compare("p", "n", lambda: sleep_for(next(ours)), lambda: sleep_for(next(bare)), 3, 0.6, "images/s")
    assert rate.value == pytest.approx(100 / 0.02, rel=0.3)
    assert share.value == pytest.approx(0.5, rel=0.3)
    assert share.lowest == pytest.approx(0.25, rel=0.3)
    assert share.is_met is False


def test_a_target_is_met_on_its_own_side() -> None:
    def figure(target: Target | None) -> Figure:
        return Figure("part", "name", 0.9, "", 0.9, 0.9, target)

    assert figure(Target("at least", 0.9)).is_met
    assert not figure(Target("at most", 0.8)).is_met
    assert figure(None).is_met is None


def hold(megabytes: int) -> int:
    return len(bytearray(megabytes * 10**6))


def test_the_peak_of_a_process_of_its_own_counts_what_it_has_let_go_and_nothing_of_ours() -> None:
    ours = bytearray(500 * 10**6)
    small, large = run_apart(hold, 1), run_apart(hold, 300)
    assert large.result == 300 * 10**6
    assert large.memory - small.memory == pytest.approx(300e6, rel=0.1)
    assert read_memory("status", "VmHWM") > len(ours)
