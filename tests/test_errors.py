"""Packages that ./run.sh does not install by itself."""

import pytest
from helpers import Refused

from okkhor import errors as extras
from okkhor.errors import check_extra


def test_a_missing_package_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    check_extra("report", "torch", "numpy")  # both are here
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torchcam" else name)
    refused(["report needs torchcam,", "pip install", "'.[report]'"], check_extra, "report", "torch", "torchcam")


def test_what_needs_it_is_told_where_it_is_not_called_as_the_extra_is(
    monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    words = ["train.tensorboard=true needs tensorboard,", "'.[tensorboard]'"]
    refused(words, lambda: check_extra("tensorboard", "tensorboard", purpose="train.tensorboard=true"))
