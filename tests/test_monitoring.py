"""TensorBoard's event files, read back by TensorBoard's own reader."""

from pathlib import Path
from typing import Any

import pytest

from okkhor.training.checkpoint import Progress
from okkhor.training.monitoring import open_events

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BATCHES = 4  # of an epoch


def read_points(folder: Path) -> dict[str, dict[int, float]]:
    """By tag, the value of each step, each once."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    points = {}
    for tag in reader.Tags()["scalars"]:
        scalars = reader.Scalars(tag)
        assert len({point.step for point in scalars}) == len(scalars), f"{tag} has a step twice"
        points[tag] = {point.step: point.value for point in scalars}
    return points


def run(folder: Path, progress: Progress, until: int, wanted: bool = True) -> None:
    """Do steps up to number `until` as fit does them; the loss is 1 / step, an epoch's score its number."""
    with open_events(folder, progress, wanted) as events:
        for step in range(progress.epoch * BATCHES + progress.batch + 1, until + 1):
            progress.batch += 1
            events.add_scalar("step/loss", 1 / step, step)
            if progress.batch == BATCHES:
                progress.history.append({"epoch": progress.epoch + 1, "score": progress.epoch + 1})
                events.add_epoch(progress.history[-1], BATCHES)
                progress.start_epoch(progress.epoch + 1)


def expected(steps: int) -> dict[str, dict[int, Any]]:
    losses = {step: pytest.approx(1 / step) for step in range(1, steps + 1)}
    return {"step/loss": losses, "epoch/score": {BATCHES * epoch: epoch for epoch in range(1, steps // BATCHES + 1)}}


@pytest.mark.parametrize("saved", [0, 4, 6, 11])
def test_the_event_files_have_each_step_and_each_epoch_once_after_a_resume_too(tmp_path: Path, saved: int) -> None:
    run(tmp_path, Progress(num_batches=BATCHES), until=11)
    epoch, batch = divmod(saved, BATCHES)
    history = [{"epoch": number + 1, "score": number + 1} for number in range(epoch)]
    run(tmp_path, Progress(epoch, batch, num_batches=BATCHES, history=history), until=12)
    assert read_points(tmp_path) == expected(12)


def test_a_run_that_started_without_events_gets_its_epochs_from_the_log(tmp_path: Path) -> None:
    progress = Progress(num_batches=BATCHES)
    run(tmp_path, progress, until=6, wanted=False)
    assert not list(tmp_path.iterdir())
    run(tmp_path, progress, until=12)
    points = read_points(tmp_path)
    assert points["epoch/score"] == {4: 1, 8: 2, 12: 3}
    assert list(points["step/loss"]) == list(range(7, 13))
