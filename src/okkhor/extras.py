"""Packages that one command or setting alone needs, which ./run.sh does not install by itself."""

from importlib.util import find_spec

from okkhor.errors import ConfigError


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
