"""TensorBoard's event files, read back by TensorBoard's own reader."""

from pathlib import Path

import pytest
from test_training import Killed, make_trainer, run

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEPS = 12  # three epochs of four


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


def test_the_event_files_say_what_the_log_says(tmp_path: Path) -> None:
    progress = run(make_trainer(tensorboard=True), tmp_path)
    points = read_points(tmp_path)
    assert sorted(points["step/loss"]) == list(range(1, STEPS + 1))
    for line in progress.history:
        for name in ("train_loss", "score", "learning_rate"):
            assert points[f"epoch/{name}"][4 * line["epoch"]] == pytest.approx(line[name], rel=1e-6)
        losses = [points["step/loss"][step] for step in range(4 * line["epoch"] - 3, 4 * line["epoch"] + 1)]
        assert sum(losses) / 4 == pytest.approx(line["train_loss"], abs=1e-5)


@pytest.mark.parametrize("save_minutes", [0.0, 10.0], ids=["each batch saved", "each epoch saved"])
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_run_that_goes_on_doubles_no_step(tmp_path: Path, killed: bool, save_minutes: float) -> None:
    unbroken = tmp_path / "unbroken"
    run(make_trainer(tensorboard=True), unbroken)
    broken = tmp_path / "broken"
    with pytest.raises(Killed if killed else KeyboardInterrupt):
        run(make_trainer(tensorboard=True, save_minutes=save_minutes), broken, stop_at=7, killed=killed)
    run(make_trainer(tensorboard=True, save_minutes=save_minutes), broken)
    whole, rest = read_points(unbroken), read_points(broken)
    assert whole.keys() == rest.keys()
    for tag in whole.keys() - {"epoch/seconds", "epoch/images_per_second"}:
        assert whole[tag] == pytest.approx(rest[tag])


def test_a_run_that_was_begun_without_gets_its_epochs_from_the_log(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(make_trainer(), tmp_path, stop_at=6)
    assert not list(tmp_path.glob("events*"))
    progress = run(make_trainer(tensorboard=True), tmp_path)
    points = read_points(tmp_path)
    assert list(points["epoch/score"]) == [4, 8, 12]
    assert list(points["epoch/score"].values()) == pytest.approx([line["score"] for line in progress.history])
