"""`setting` declares a setting: default, description, unit and range stand in one line, beside name and type.

`Setting` is a declared setting. It converts and checks values for settings.py, and ./run.sh help prints it.
"""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from math import inf
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")

Range = tuple[float, float]
"""The lowest and the highest value."""

MAX_TEXT = 1000  # characters
TAKEN: dict[Any, tuple[type, ...]] = {int: (int, str), float: (int, float, str), str: (str, int, float, bool)}
"""By the type of a setting, the types of YAML values that it is converted from: to YAML, 1e-3 is a text."""
BAD_VALUE = (ValueError, TypeError, OverflowError)  # what int(), float() and zip() raise


def setting(default: T, description: str, unit: str = "", low: float = -inf, high: float = inf) -> T:
    """Declare a field of a dataclass. low, high: the lowest and highest value of a number, or of a Range's ends."""
    metadata = {"description": description, "unit": unit, "low": low, "high": high}
    declared: T = field(default=default, metadata=metadata)
    return declared


@dataclass(frozen=True)
class Setting:
    """A declared setting. key: its name after its group's, such as data.size. kind: its type."""

    key: str
    kind: Any
    default: Any
    description: str
    unit: str
    low: float
    high: float

    @property
    def expected(self) -> str:
        """The values that it takes, in words, such as `a whole number from 16 to 512`."""
        limits = "" if self.low == -inf else f" from {self.low:,} to {self.high:,}"
        return f"two numbers{limits}, the lower one first" if self.kind == Range else _describe(self.kind) + limits

    def convert(self, value: Any, start: str = "") -> Any:
        """Convert a value that YAML gives to the setting's type. Raises ValueError, whose text says what it expects.

        start: the folder in which a relative path begins; "": the project's, as in presets and defaults.
        """
        try:
            result = _convert(value, self.kind)
        except BAD_VALUE:
            raise ValueError(f"expected {self.expected}") from None
        items = result if isinstance(result, tuple) else (result,)
        if self.low > -inf and not self.low <= items[0] <= items[-1] <= self.high:
            raise ValueError(f"expected {self.expected}")
        if any(isinstance(item, str) and not _is_plain(item) for item in items):
            raise ValueError(f"expected at most {MAX_TEXT:,} characters, none of them a control character")
        if self.unit != "path" or isinstance(result, bool):
            return result
        return tuple(find_path(item, start) for item in items) if items is result else find_path(result, start)


def find_path(text: str, start: str = "") -> str:
    """Write a path as config.yaml keeps it: from the project's folder where it is within, else absolute. `~`: home."""
    if text in ("", "train", "grammar"):  # what such a setting takes beside paths
        return text
    path = Path(os.path.normpath(Path.cwd() / start / os.path.expanduser(text)))  # noqa: PTH111 - ~nobody stays
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def list_settings(group: Any, prefix: str = "") -> Iterator[Setting]:
    """Yield the settings of a dataclass and of its groups, in their order."""
    for declared in fields(group):
        if is_dataclass(declared.type):
            yield from list_settings(declared.type, f"{declared.name}.")
        else:
            yield Setting(prefix + declared.name, declared.type, declared.default, **declared.metadata)


def _describe(kind: Any) -> str:
    """Name a type in words."""
    members = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(members)
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_describe(member) for member in members if member is not NoneType)
    if get_origin(kind) in (tuple, list):
        return {str: "a list such as [a,b]", int: "a list of whole numbers", float: "a list of numbers"}[members[0]]
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]


def _convert(value: Any, kind: Any) -> Any:
    """Convert a value to a type. Raises one of BAD_VALUE where that can't be."""
    origin, members = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        for member in members:
            with suppress(*BAD_VALUE):
                return _convert(value, member)
    elif origin in (tuple, list) and isinstance(value, list | tuple):
        kinds = members if kind == Range else members[:1] * len(value)
        return origin(_convert(item, one) for item, one in zip(value, kinds, strict=True))
    elif origin is Literal and isinstance(value, str) and value in members:
        return value
    elif kind is bool and isinstance(value, int) and value in (0, 1):
        return bool(value)
    elif type(value) in TAKEN.get(kind, (kind,)):
        return kind(value) if kind in TAKEN else value
    raise ValueError(f"not of type {kind}")


def _is_plain(text: str) -> bool:
    """Whether a text is short, can be written into any file and shown on any terminal."""
    return len(text) <= MAX_TEXT and not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)
