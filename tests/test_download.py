"""download: Kaggle's client is replaced; what it leaves is checked and appears whole or not at all."""

import contextlib
import shutil
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from helpers import Damage

from okkhor.commands.download import main
from okkhor.errors import InputError

requests = pytest.importorskip("requests")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """client(download): a project whose Kaggle client is that function; returns its folder."""

    def install(download: Callable[[str], str]) -> Path:
        errors = types.ModuleType("kagglehub.exceptions")
        for name in ("DataCorruptionError", "UnauthenticatedError"):
            setattr(errors, name, type(name, (Exception,), {}))
        hub = types.ModuleType("kagglehub")
        hub.__dict__.update(competition_download=download, exceptions=errors, __spec__=ModuleSpec("kagglehub", None))
        monkeypatch.setitem(sys.modules, "kagglehub", hub)
        monkeypatch.setitem(sys.modules, "kagglehub.exceptions", errors)
        for name in ("KAGGLEHUB_CACHE", "DISABLE_KAGGLE_CACHE", "DISABLE_COLAB_CACHE"):
            monkeypatch.setenv(name, "")  # so that it is put back
        folder = tmp_path / "project"
        folder.mkdir()
        return folder

    return install


def copy_to_cache(source: Path, competition: str) -> str:
    import os

    target = Path(os.environ["KAGGLEHUB_CACHE"]) / "competitions" / competition
    shutil.copytree(source, target, dirs_exist_ok=True)
    return str(target)


def download(folder: Path) -> None:
    with contextlib.chdir(folder):
        main([])


def test_the_files_come_to_their_place_checked(
    client: Callable[..., Path], competition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = client(lambda name: copy_to_cache(competition, name))
    download(folder)
    assert sorted(path.name for path in (folder / "input").iterdir()) == ["bengaliai-cv19"]
    names = {path.name for path in (folder / "input/bengaliai-cv19").iterdir()}
    assert names == {path.name for path in competition.iterdir()}
    assert "24 train images, 4 test images, checked" in capsys.readouterr().out
    with pytest.raises(InputError, match="is there already"):
        download(folder)


def test_damaged_files_do_not_come_to_their_place(client: Callable[..., Path], damaged: Damage) -> None:
    root = damaged("test.csv", lambda content: content.replace(b"Test_0", b"Test_9"))
    folder = client(lambda name: copy_to_cache(root, name))
    with pytest.raises(InputError, match=r"delete it to download anew"):
        download(folder)
    assert not (folder / "input/bengaliai-cv19").exists()


def fail(error: Exception) -> Callable[[str], str]:
    def download(_name: str) -> str:
        raise error

    return download


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.HTTPError("403 Client Error."), "Kaggle refuses: 403 Client Error."),
        (requests.ConnectionError("no route"), "Kaggle can't be reached"),
        (ValueError("Invalid Kaggle credentials file"), "Invalid Kaggle credentials file"),
    ],
)
def test_what_kaggle_refuses_is_told_in_two_lines(client: Callable[..., Path], error: Exception, expected: str) -> None:
    folder = client(fail(error))
    with pytest.raises(InputError, match=expected) as caught:
        download(folder)
    assert len(str(caught.value).splitlines()) == 2
    assert not (folder / "input/bengaliai-cv19").exists()


def test_without_the_client_it_says_what_to_type(client: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = client(str)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[download\]'"):
        download(folder)


def test_the_client_itself_does_not_know_a_person_without_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("kagglehub")
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("KAGGLEHUB_CACHE", "DISABLE_KAGGLE_CACHE", "DISABLE_COLAB_CACHE"):
        monkeypatch.setenv(name, "")
    with pytest.raises(InputError, match="Kaggle has to know who you are"):
        download(tmp_path)
    assert not (tmp_path / "input/bengaliai-cv19").exists()
