"""The stages of a run as commands, small enough to be tried often, and the files that each makes."""

import shutil
import time
import zipfile
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

from processes import finish, start
from tries import in_project, times

forkserver.ensure_running()  # its imports take seconds: here other tests run beside them
SAMPLE = ("config=smoke", "sample.images_per_grapheme=3", "sample.test_images=20")
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
    "package": Stage(("package", "run=x"), ("dist/x/*/*",)),
    "report": Stage(("report", "run=x"), ("runs/x/report.html",)),
}


def read_made(folder: Path, stage: Stage) -> dict[str, bytes]:
    files = [path for pattern in stage.makes for path in folder.glob(pattern)]
    return {str(path.relative_to(folder)): read_content(path) for path in files}


def read_content(path: Path) -> bytes:
    """A wheel by what it holds: the zip file itself has the time of its making."""
    if path.suffix != ".whl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(name.encode() + archive.read(name) for name in sorted(archive.namelist()))


@dataclass(frozen=True)
class Undisturbed:
    """before: the folder as the stage found it. made: its files. seconds: how long it took."""

    before: Path
    made: dict[str, bytes]
    seconds: float


class UndisturbedStages(dict[str, Undisturbed]):
    """By name, each run when it is first asked for, after those before it, in a project within the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = in_project(folder / "project")

    def __missing__(self, wanted: str) -> Undisturbed:
        names = list(STAGES)
        for name in names[len(self) : names.index(wanted) + 1]:
            self[name] = self.run(name)
        return self[wanted]

    def run(self, name: str) -> Undisturbed:
        project, stage = self.project, STAGES[name]
        if name == "cache and folds":  # the sample's rendering has made them too
            for made in ("runs", "folds"):
                shutil.rmtree(project / made)
        if name == "predict":
            (project / FOLD / "test.parquet").unlink()
            (project / "submissions/x-fold0.csv").unlink()
        before = self.folder / name
        shutil.copytree(project, before, symlinks=True)
        started = time.monotonic()
        assert finish(start(project, *stage.arguments)) == 0, told(project)
        found = Undisturbed(before, read_made(project, stage), time.monotonic() - started)
        assert found.made
        return found


def copy(undisturbed: Undisturbed, folder: Path) -> Path:
    shutil.copytree(undisturbed.before, folder, symlinks=True)
    return folder


def told(folder: Path, output: str = "output.txt") -> str:
    return (folder / output).read_text()
