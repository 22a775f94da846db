"""Errors that a person can mend, and packages that ./run.sh does not install by itself."""

import pytest
from helpers import Refused

from okkhor import errors
from okkhor.errors import check_extra, first_line


def test_a_missing_package_is_told_with_what_needs_it_and_what_to_type(
    monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    check_extra("report", "torch", "numpy")  # both are here
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "torchcam" else name)
    refused(["report needs torchcam,", "pip install", "'.[report]'"], check_extra, "report", "torch", "torchcam")
    purpose = "where the network looks"
    refused([f"{purpose} needs torchcam,"], lambda: check_extra("report", "torchcam", purpose=purpose))


def test_the_first_line_of_an_error_is_short_and_never_empty() -> None:
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError("x" * 1000)) == "x" * 160
    assert first_line(ValueError(" \n")) == "ValueError"
