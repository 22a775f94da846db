"""./run.sh download with a stand-in for Kaggle's client: its files are checked and appear whole or not at all."""

import os
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
TARGET = Path("input/bengaliai-cv19")
Install = Callable[[Callable[[str], str]], None]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAGGLEHUB_CACHE", "DISABLE_KAGGLE_CACHE", "DISABLE_COLAB_CACHE"):
        monkeypatch.setenv(name, "")  # so that it is put back
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """install(download): make that function Kaggle's client."""

    def install(download: Callable[[str], str]) -> None:
        errors, hub = types.ModuleType("kagglehub.exceptions"), types.ModuleType("kagglehub")
        for name in ("DataCorruptionError", "UnauthenticatedError"):
            setattr(errors, name, type(name, (Exception,), {}))
        hub.__dict__.update(competition_download=download, exceptions=errors, __spec__=ModuleSpec("kagglehub", None))
        monkeypatch.setitem(sys.modules, "kagglehub", hub)
        monkeypatch.setitem(sys.modules, "kagglehub.exceptions", errors)

    return install


def copy_from(source: Path) -> Callable[[str], str]:
    """A client that downloads this folder."""

    def download(competition: str) -> str:
        target = Path(os.environ["KAGGLEHUB_CACHE"]) / "competitions" / competition
        return str(shutil.copytree(source, target, dirs_exist_ok=True))

    return download


def test_the_files_come_to_their_place_checked(
    install: Install, competition: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(copy_from(competition))
    main([])
    assert list(TARGET.parent.iterdir()) == [TARGET]
    assert {path.name for path in TARGET.iterdir()} == {path.name for path in competition.iterdir()}
    assert "24 train images, 4 test images, checked" in capsys.readouterr().out
    with pytest.raises(InputError, match="is there already"):
        main([])


def test_damaged_files_do_not_come_to_their_place(install: Install, damaged: Damage) -> None:
    install(copy_from(damaged("test.csv", lambda content: content.replace(b"Test_0", b"Test_9"))))
    with pytest.raises(InputError, match=r"delete it to download anew"):
        main([])
    assert not TARGET.exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.HTTPError("403 Client Error."), "Kaggle refuses: 403 Client Error."),
        (requests.ConnectionError("no route"), "Kaggle can't be reached"),
        (ValueError("Invalid Kaggle credentials file"), "Invalid Kaggle credentials file"),
    ],
)
def test_what_kaggle_refuses_is_told_in_two_lines(install: Install, error: Exception, expected: str) -> None:
    def download(_competition: str) -> str:
        raise error

    install(download)
    with pytest.raises(InputError, match=expected) as caught:
        main([])
    assert len(str(caught.value).splitlines()) == 2
    assert not TARGET.exists()


def test_the_client_itself_does_not_know_a_person_without_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("kagglehub")
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(InputError, match="Kaggle has to know who you are"):
        main([])
    assert not TARGET.exists()
