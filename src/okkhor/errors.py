"""`InputError` and `ConfigError`: a person can mend these. `__main__` prints them and exits with status 2."""

from importlib.util import find_spec

LOST_ANOTHER = 3
"""The exit status of one of several processes that can't reach another. It prints why, the launcher what it means."""


class InputError(Exception):
    """A file or a value is not what it must be. The text names file, row, found, expected and remedy."""


class ConfigError(InputError):
    """A setting, a preset or a command is not what it must be."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 160 characters; its type's name where it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def check_extra(extra: str, *packages: str, purpose: str = "") -> None:
    """Raises ConfigError where a package of an extra of pyproject.toml is missing. purpose: what needs it."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"{purpose or extra} needs {' and '.join(missing)}, an extra. Install it, then start again:\n"
            f".venv/bin/python -m pip install -e '.[{extra}]'"
        )
