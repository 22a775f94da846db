"""./run.sh show: pictures of what the settings do to images."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import Project, Refused
from numpy.typing import NDArray
from PIL import Image

from okkhor import settings
from okkhor.commands import show
from okkhor.rendering.graphemes import read_graphemes
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, without input."""
    monkeypatch.setattr(settings, "PRESETS", Path(__file__).parent.parent / "configs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()


def catch_rows(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, NDArray[np.uint8]]:
    """What `show sample` would draw, by title."""
    caught: dict[str, NDArray[np.uint8]] = {}
    monkeypatch.setattr(show, "draw_batches", lambda rows, _path: caught.update(rows))
    show.main(["sample", "config=smoke", *arguments])
    return caught


def test_show_sample_draws_a_sheet_without_a_data_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib has no Bengali letters: it would warn of each
        show.main(["sample", "config=smoke"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["runs", "show-sample.png"]
    assert "runs/show-sample.png" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "runs/show-sample.png").convert("L"))
    assert 0.02 < (sheet < 128).mean() < 0.3  # ink on paper
    assert sheet.shape[1] >= show.NUM_HANDS * IMAGE_WIDTH * 0.8  # nearly in the scans' own size


def test_the_rows_are_graphemes_and_the_columns_hands_by_the_seed_and_their_ranges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, again, other = (catch_rows(monkeypatch, f"seed={seed}") for seed in (0, 0, 1))
    assert len(plain) == show.NUM_GRAPHEMES
    assert set(plain) <= {" ".join(map(str, grapheme.labels)) for grapheme in read_graphemes()}
    for scans in plain.values():
        assert scans.shape == (show.NUM_HANDS, IMAGE_HEIGHT, IMAGE_WIDTH)
        assert (np.median(scans, axis=(1, 2)) < 30).all()  # paper: ink is bright here
        assert len({scan.tobytes() for scan in scans}) == show.NUM_HANDS
    assert {title: scans.tobytes() for title, scans in plain.items()} == {t: s.tobytes() for t, s in again.items()}
    assert set(plain) != set(other)
    thick = catch_rows(monkeypatch, "hand.pen=[12,12]")
    assert set(thick) == set(plain)
    assert np.mean(list(thick.values())) > 1.2 * np.mean(list(plain.values()))


def test_a_subject_that_is_not_there_is_refused_with_those_that_are(refused: Refused) -> None:
    refused(["show smaple", "augment, sample"], show.main, ["smaple"])
    refused(["no subject is named", "augment, sample"], show.main, ["config=smoke"])


@pytest.mark.parametrize("backend", ["widget", "module://ipympl.backend_nbagg"])
def test_a_notebooks_backend_and_a_locale_without_utf_8_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """MPLBACKEND stopped `show`, the first Bengali letter stopped `read` and `score`. ASCII gets escapes."""
    for name, value in {
        "LC_ALL": "POSIX",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "MPLBACKEND": backend,
    }.items():
        monkeypatch.setenv(name, value)
    project = Project(tmp_path)
    if backend != "widget":
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    told = project.run("show", "sample", "config=smoke").stdout
    assert any("\u0980" <= char <= "\u09ff" for char in told) == (backend == "widget")
    assert ("\\u09" in told) == (backend != "widget")
