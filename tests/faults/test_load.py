"""More rows than the competition has, and many epochs of training, take bounded memory."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from damage import make_project
from helpers import PROJECT, make_predictions
from stages import FOLD, SETTINGS, UndisturbedStages, finish, start, told

from okkhor.label_triples import Labels, count_triples, write_triples
from okkhor.predictions import write_predictions
from okkhor.schema import HEAD_NAMES, SUBMISSION_ORDER
from okkhor.scoring.decoding import decode

pytestmark = pytest.mark.slow

ROWS = 250_000  # of an out-of-fold table; train.csv has 200,840
RUN = "import sys, okkhor.__main__ as o, okkhor.processes as p; print(o.main(sys.argv[1:]), p.measure_peak())"
GRAPHEMES = pd.read_csv(PROJECT / "src/okkhor/rendering/graphemes_1295.csv")[list(HEAD_NAMES)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with a finished fold, and three test images."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    labels = Labels(GRAPHEMES.sample(ROWS, replace=True, random_state=0).to_numpy())
    tests = [f"Test_{number}" for number in range(3)]
    for seed, run in enumerate(("one", "two")):
        fold = folder / "runs" / run / "fold0"
        fold.mkdir(parents=True)
        oof = replace(make_predictions([f"Train_{number}" for number in range(ROWS)], seed), labels=labels)
        for name, table in (("oof", oof), ("test", make_predictions(tests, seed, labelled=False))):
            write_predictions(table, decode(table.probabilities), fold / f"{name}.parquet")
        write_triples(count_triples(labels), fold / "graphemes.csv")
        (fold / "config.yaml").write_text(f"run: {run}\ndata:\n  root: input/large\n")
        (fold / "metrics.json").write_text("{}")
    rows = [(f"{image_id}_{head}", image_id, head) for image_id in tests for head in SUBMISSION_ORDER]
    root = folder / "input/large"
    root.mkdir(parents=True)
    pd.DataFrame(rows, columns=["row_id", "image_id", "component"]).to_csv(root / "test.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("arguments", "most"), [(("score", "run=one"), 1.6), (("ensemble", "runs=[one,two]", "name=e"), 1.9)]
)
def test_more_rows_than_the_competition_has_are_scored_and_ensembled(
    project: Path, arguments: tuple[str, ...], most: float
) -> None:
    """most: GB of memory. Imports take .9, read at once instead of in blocks the tables take 2 more, and 3 more."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-c", RUN, *arguments]
    found = subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    status, peak = found.stdout.split()[-2:]
    assert status == "0"
    assert int(peak) / 1e9 < most


def measure(pid: int) -> tuple[float, int]:
    """Return the MB of memory of a process and its children, and the number of files that it has open."""
    children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    pages = 0
    for number in (str(pid), *(number for numbers in children for number in numbers)):
        pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_many_epochs_of_training_leave_memory_and_open_files_as_they_were(
    undisturbed: UndisturbedStages, tmp_path: Path
) -> None:
    """Epoch 20 and epoch 80 are compared, with a loader's worker, augmentation, validation and a saved state each."""
    folder = undisturbed["train"].copy(tmp_path / "project")
    settings = ("train.epochs=90", "train.batch_size=8", "data.num_workers=1", "train.save_minutes=10")
    process, log = start(folder, "train", "fold=0", *SETTINGS, *settings), folder / FOLD / "log.jsonl"
    assert process.pid is not None
    measured: dict[int, tuple[float, int]] = {}
    while process.is_alive():
        epoch = len(log.read_bytes().splitlines()) if log.exists() else 0
        if epoch in (20, 80) and epoch not in measured:
            measured[epoch] = measure(process.pid)
        time.sleep(0.02)
    assert finish(process) == 0, told(folder)
    (before, files), (after, files_after) = measured[20], measured[80]
    assert after - before < 30
    assert files_after <= files + 2  # a log or a state may be open at that moment
