"""How often each fault is tried, and what came of it: counted while the tests run, printed at their end."""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings

from okkhor.__main__ import main, tell
from okkhor.errors import InputError

LONG = os.environ.get("OKKHOR_FAULTS") == "long"  # ./run.sh test faults
TOLD_LINES, TOLD_CHARACTERS = 12, 1200  # the most that a person is told: 11 lines of settings, and a note before

Tries = TypeVar("Tries")
Mutation = Callable[[bytes, Random], bytes]
outcomes: Counter[tuple[str, str]] = Counter()


def times(short: Tries, long: Tries) -> Tries:
    """How many tries: short within the normal suite, long in the long form."""
    return long if LONG else short


def property_settings(short: int, long: int) -> settings:
    """For hypothesis: the same examples in each short run, others in each long one."""
    return settings(
        max_examples=times(short, long),
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


def record(kind: str, outcome: str) -> None:
    outcomes[kind, outcome] += 1


def call(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit status, stdout and stderr of a command within this process, checked as every refusal must be.

    Status 0 or 2, and with 2 a short text that begins as ours do. Anything that is raised fails the test.
    """
    out, error = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(arguments)
    told = error.getvalue()
    assert status in (0, 2), told
    if status == 2:
        check_told(told)
    return status, out.getvalue(), told


def check_error(error: InputError) -> str:
    """The text of a refusal, checked as it is told."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        tell(f"Input: {error}")
    check_told(told.getvalue())
    return str(error)


def check_told(told: str) -> None:
    """What a person is told: a line or two that begin as ours do, no traceback, nothing that a terminal obeys."""
    assert "Traceback" not in told, told
    lines = [line for line in told.splitlines() if line.startswith(("Input: ", "Settings: ", "Files: ", "Memory: "))]
    assert len(lines) == 1, told
    own = told[told.index(lines[0]) :]
    assert len(own.splitlines()) <= TOLD_LINES, own
    assert len(own) <= TOLD_CHARACTERS, own
    assert all(char.isprintable() or char == "\n" for char in own), ascii(own)


def in_project(folder: Path) -> Path:
    """A folder to call commands in, with the presets."""
    folder.mkdir(exist_ok=True)
    (folder / "configs").symlink_to(Path(__file__).resolve().parents[2] / "configs")
    return folder
