"""Every command, ended at a random moment and typed again, ends with what an undisturbed one ends with."""

import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from processes import end, finish, start
from tries import in_project, record, times

SAMPLE = ("config=smoke", "sample.images_per_grapheme=5", "sample.test_images=20")
SETTINGS = (
    *SAMPLE,
    *("run=x", "model.backbone=test_resnet", "train.num_threads=1", "train.save_minutes=0", "train.batch_size=32"),
    "data.rendered_fraction=0.1",
)


@dataclass(frozen=True)
class Stage:
    """A command, and the files that it makes."""

    arguments: tuple[str, ...]
    makes: tuple[str, ...]


FOLD = "runs/x/fold0"
STAGES = {
    "render": Stage(("prepare", *SAMPLE, f"sample.processes={times(1, 2)}"), ("input/smoke/*",)),
    "cache and folds": Stage(("prepare", *SAMPLE), ("folds/*.csv", "runs/.cache/*/images.*")),
    "train": Stage(
        ("train", "fold=0", *SETTINGS),
        (
            *(f"{FOLD}/model.safetensors", f"{FOLD}/*.parquet", f"{FOLD}/*.csv", f"{FOLD}/metrics.json"),
            *(f"{FOLD}/config.yaml", "submissions/x-fold0.csv"),
        ),
    ),
    "predict": Stage(("predict", "run=x"), (f"{FOLD}/test.parquet", "submissions/x-fold0.csv")),
    "ensemble": Stage(("ensemble", "runs=[x]", "name=e"), ("submissions/e.csv",)),
}


def read_made(folder: Path, stage: Stage) -> dict[str, bytes]:
    files = [path for pattern in stage.makes for path in folder.glob(pattern)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Undisturbed:
    """before: the folder as the stage found it. made: its files. seconds: how long it took."""

    before: Path
    made: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    folder = in_project(tmp_path_factory.mktemp("undisturbed") / "project")
    found = {}
    for name, stage in STAGES.items():
        if name == "cache and folds":  # the sample's rendering has made them too
            for made in ("runs", "folds"):
                shutil.rmtree(folder / made)
        if name == "predict":
            (folder / FOLD / "test.parquet").unlink()
            (folder / "submissions/x-fold0.csv").unlink()
        before = folder.parent / name
        shutil.copytree(folder, before, symlinks=True)
        started = time.monotonic()
        assert finish(start(folder, *stage.arguments)) == 0, (folder / "output.txt").read_text()
        found[name] = Undisturbed(before, read_made(folder, stage), time.monotonic() - started)
        assert found[name].made
    return found


@pytest.mark.parametrize("name", STAGES)
def test_a_command_killed_at_any_moment_and_typed_again_ends_as_if_undisturbed(
    name: str, undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    stage, random = STAGES[name], Random(name)
    for number in range(times(2, 60)):
        folder = tmp_path / "project"
        shutil.copytree(undisturbed[name].before, folder, symlinks=True)
        for _ in range(random.choice((1, 1, 2))):
            ending = random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            process = start(folder, *stage.arguments)
            time.sleep(random.uniform(0, undisturbed[name].seconds * 1.1))
            status = end(process, ending)
            told = (folder / "output.txt").read_text() if (folder / "output.txt").exists() else ""
            assert status in (0, -ending, 130), f"try {number}: {ending.name}, status {status}\n{told}"
            assert "Traceback" not in told, told
            record(f"{name}: {ending.name}", "ended in time" if status == 0 else "killed")
        assert finish(start(folder, *stage.arguments)) == 0, (folder / "output.txt").read_text()
        assert read_made(folder, stage) == undisturbed[name].made, f"try {number}"
        assert not list(folder.rglob("*.tmp"))
        record(f"{name}: typed again", "same bytes")
        shutil.rmtree(folder)
