"""Errors that a person can mend, and packages that ./run.sh does not install by itself."""

import sys
from pathlib import Path

import pytest
from helpers import Refused

from okkhor.__main__ import main
from okkhor.errors import check_extra, first_line


def test_a_missing_package_is_named_and_what_needs_it(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    check_extra("report", "torch", "numpy")  # both are here
    monkeypatch.setitem(sys.modules, "torchcam", None)
    refused(["report needs torchcam,", "pip install", "'.[report]'"], check_extra, "report", "torch", "torchcam")
    words = ["where the network looks needs torchcam,", "'.[report]'"]
    refused(words, lambda: check_extra("report", "torchcam", purpose="where the network looks"))


@pytest.mark.parametrize(
    ("command", "package"), [("demo", "uvicorn"), ("export", "onnxscript"), ("download", "kagglehub")]
)
def test_a_command_without_its_extra_says_what_to_type(
    command: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([command]) == 2
    error = capsys.readouterr().err
    assert package in error
    assert f"pip install -e '.[{command}]'" in error
    assert len(error.splitlines()) == 2


def test_the_first_line_of_an_error_is_short_and_never_empty() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError("x" * 1000)) == "x" * 160
    assert first_line(ValueError(" \n")) == "ValueError"
