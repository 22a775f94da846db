"""The stages of a run as commands in processes of their own, which a test can end at any moment.

A fork server imports okkhor once and forks each process: with its own imports, a start would take ten times as long.
"""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from damage import make_project
from helpers import PROJECT, wait_until

from okkhor.__main__ import main

SAMPLE = ("config=smoke", "sample.images_per_grapheme=3", "sample.test_images=20")
SETTINGS = (
    *SAMPLE,
    *("run=x", "model.backbone=test_resnet", "train.num_threads=1", "train.save_minutes=0", "train.batch_size=32"),
    "data.rendered_fraction=0.1",
)
FOLD = "runs/x/fold0"
WEIGHTS = f"{FOLD}/model.safetensors"


@dataclass(frozen=True)
class Stage:
    """A command, and patterns of the files that it makes."""

    arguments: tuple[str, ...]
    makes: tuple[str, ...]


STAGES = {
    "render": Stage(("prepare", *SAMPLE, "sample.processes=2"), ("input/smoke/*",)),
    "cache and folds": Stage(("prepare", *SAMPLE), ("folds/*.csv", "runs/.cache/*/images.*")),
    "train": Stage(
        ("train", "fold=0", *SETTINGS),
        (
            *(WEIGHTS, f"{FOLD}/*.parquet", f"{FOLD}/*.csv", f"{FOLD}/metrics.json", f"{FOLD}/config.yaml"),
            "submissions/x-fold0.csv",
        ),
    ),
    "predict": Stage(("predict", "run=x"), (f"{FOLD}/test.parquet", "submissions/x-fold0.csv")),
    "ensemble": Stage(("ensemble", "runs=[x]", "name=e"), ("submissions/e.csv",)),
    "package": Stage(("package", "run=x"), ("dist/x/*/*",)),
    "report": Stage(("report", "run=x"), ("runs/x/report.html",)),
}

context = multiprocessing.get_context("forkserver")
commands = ("train", "predict", "ensemble", "prepare", "package", "report")
context.set_forkserver_preload(["stages", *(f"okkhor.commands.{name}" for name in commands)])


def run(folder: Path, arguments: Sequence[str], output: Path, largest: int) -> None:
    """Run the command in this folder, in a process group of its own, with both outputs in a file.

    largest: most bytes of a file (-1: no limit). The system refuses to write more, as on a full disk.
    """
    os.setsid()
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, -1))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(PROJECT / "src")  # for the processes that the command starts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with output.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = main(arguments)
        except BaseException:  # Python would end so too
            traceback.print_exc()
            status = 1
        os._exit(status)


def start(folder: Path, *arguments: str, output: str = "output.txt", largest: int = -1) -> ForkServerProcess:
    """Start a command and return its process, which a signal from now on ends as it would end the command."""
    (folder / output).unlink(missing_ok=True)
    process = context.Process(target=run, args=(folder, arguments, folder / output, largest))
    process.start()
    wait_until((folder / output).exists)
    return process


def finish(process: ForkServerProcess, timeout: float = 600) -> int:
    """Wait for the process and return its exit status, minus the number of the signal that ended it."""
    process.join(timeout)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def end(process: ForkServerProcess, number: signal.Signals) -> int:
    """Send the signal to the whole process group, as a terminal does, and wait."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, number)
    return finish(process)


def told(folder: Path, output: str = "output.txt") -> str:
    """Return what the command has printed."""
    path = folder / output
    return path.read_text() if path.exists() else ""


def read_made(folder: Path, stage: Stage) -> dict[str, bytes]:
    """Return the content of each file that the stage makes; for a wheel that of its members, without their times."""
    made = {}
    for path in (path for pattern in stage.makes for path in folder.glob(pattern)):
        content = path.read_bytes()
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                content = b"".join(name.encode() + archive.read(name) for name in sorted(archive.namelist()))
        made[str(path.relative_to(folder))] = content
    return made


@dataclass(frozen=True)
class Undisturbed:
    """A stage that nothing disturbed: the folder before it, the files that it made, and its seconds."""

    before: Path
    made: dict[str, bytes]
    seconds: float

    def copy(self, folder: Path) -> Path:
        """Copy the folder before the stage to `folder`."""
        shutil.copytree(self.before, folder, symlinks=True)
        return folder


class UndisturbedStages(dict[str, Undisturbed]):
    """Each stage by its name. The first access runs it, after the stages before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = make_project(folder / "project")

    def __missing__(self, wanted: str) -> Undisturbed:
        names = list(STAGES)
        for name in names[len(self) : names.index(wanted) + 1]:
            self[name] = self.run(name)
        return self[wanted]

    def run(self, name: str) -> Undisturbed:
        """Run the stage in the project, after a copy of the project."""
        project, stage = self.project, STAGES[name]
        if name == "cache and folds":  # `render` has made both already
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
