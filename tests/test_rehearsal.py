"""What a rehearsal says of the hidden test: forecasts, verdicts, and comparisons with the pipeline."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from okkhor.config import RehearseConfig
from okkhor.data import competition as data
from okkhor.kaggle.kernel import KernelPlan
from okkhor.kaggle.rehearsal import (
    HIDDEN_IMAGES,
    KernelRun,
    extrapolate,
    judge,
    judge_repeated,
    judge_resources,
    judge_submission,
    repeat_targets,
)
from okkhor.pipeline.decision import Decision
from okkhor.schema import SUBMISSION_ORDER

GB = 10**9


def test_the_forecast_is_the_straight_line_through_both_runs() -> None:
    line = np.polyfit([2500, 20_000], [12.0, 47.0], 1)
    assert extrapolate((2500, 12.0), (20_000, 47.0)) == pytest.approx(np.polyval(line, HIDDEN_IMAGES))


def test_noise_can_not_make_more_images_cheaper() -> None:
    assert extrapolate((2500, 12.0), (20_000, 11.0)) == 12.0
    assert extrapolate((2500, 12.0), (20_000, 11.0), least=0.5) == 12.0 + 0.5 * (HIDDEN_IMAGES - 20_000)


def test_a_verdict_names_the_margin(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge("Memory", 3.04, 16, "GB") == []
    assert capsys.readouterr().out == "Memory: pass, 13.0 GB left of 16 GB.\n"
    assert judge("Time", 9.5, 9, "h") == ["Time: fail, 0.5 h too much of 9 h"]


@pytest.mark.parametrize(("growth", "failures"), [(1000, []), (100_000, ["Memory: fail, 6.1 GB too much of 16 GB"])])
def test_memory_that_would_not_do_for_the_hidden_test_is_a_failure(
    growth: int, failures: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    few, many = (KernelRun(number, 10 + number / 1000, GB + growth * number, tmp_path) for number in (1000, 4000))
    plan = KernelPlan((), Decision(), ())
    assert judge_resources(few, many, plan, RehearseConfig()) == failures  # at 100 kB an image 21.1 GB, and 1 GB
    assert "  211,042     221.0 " in capsys.readouterr().out


def test_another_submission_than_the_pipelines_is_a_failure() -> None:
    assert judge_submission(b"row_id", b"row_id") == []
    assert "its submission is not the pipeline's" in judge_submission(b"row_id,", b"row_id")[0]


def test_the_same_images_read_in_another_order_are_a_failure(test_set: data.TestSet) -> None:
    table = test_set.table
    plain = pd.DataFrame({"row_id": table["row_id"], "target": range(len(table))})
    expected = repeat_targets(plain, test_set, num_copies=1000)
    by_row = plain.set_index("row_id")["target"]
    for number, image_id in enumerate(["Test_0", "Test_1", "Test_2", "Test_3"] * 2):  # in the order of the shards
        rows = [by_row[f"{image_id}_{head}"] for head in SUBMISSION_ORDER]
        assert expected[3 * number : 3 * number + 3].tolist() == rows
    assert judge_repeated(expected, expected) == []
    few, all_of_them = expected.copy(), expected[::-1].reset_index(drop=True)
    few[:12] += 1
    assert judge_repeated(few, expected) == []
    assert judge_repeated(all_of_them, expected) == ["in the repeated files it reads the same images differently"]
