"""docs/tour.ipynb runs from its top to its bottom."""

import os
import shutil
from pathlib import Path

import pytest
from helpers import PROJECT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")


@pytest.mark.slow
def test_the_tour_runs_to_its_end_and_leaves_what_it_speaks_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(PROJECT / "run.sh", tmp_path)
    for name in ("src", "configs"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.setenv("OKKHOR_TOUR", "smoke")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on a busy machine the threads of a small network wait for each other
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{os.environ.get('PYTHONPATH', '')}")
    tour = nbformat.read(PROJECT / "docs/tour.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "docs")}}
    nbclient.NotebookClient(tour, timeout=120, kernel_name="python3", resources=resources).execute()
    assert (tmp_path / "submissions/tour.csv").stat().st_size > 1000
    printed = "".join(output.get("text", "") for cell in tour.cells for output in cell.get("outputs", ()))
    for words in ("fold 0", "Decoding", "Local leaderboard", "grapheme_root"):
        assert words in printed
    assert sum("image/png" in output.get("data", {}) for cell in tour.cells for output in cell.get("outputs", ())) == 2
