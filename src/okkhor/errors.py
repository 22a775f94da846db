"""What a person can mend. `commands.main` prints these in a line or two and exits with status 2."""

from importlib.util import find_spec

LOST_ANOTHER = 3
"""The exit status of one process of several that can't reach another, and says nothing: the launcher tells of that."""


class InputError(Exception):
    """A file or a value is not what it must be: names what, where, found, expected and the remedy."""


class ConfigError(InputError):
    """A setting, a preset or a command is not what it must be."""


def check_extra(extra: str, *packages: str, purpose: str = "") -> None:
    """Raises ConfigError where one of the packages of an extra of pyproject.toml is missing.

    purpose: what needs them, where that is not called as the extra is.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"{purpose or extra} needs {' and '.join(missing)}, an extra. Install it, then start again:\n"
            f".venv/bin/python -m pip install -e '.[{extra}]'"
        )
