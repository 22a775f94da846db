"""This package as a wheel, built without network."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from okkhor.errors import InputError

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
OPTIONS = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")


def build_wheel(folder: Path) -> Path:
    """Build it from this checkout into a folder. Raises InputError where this is none, or pip can't."""
    project = Path(__file__).resolve().parents[3]
    if not (project / "pyproject.toml").exists():
        raise InputError(f"{project} is no checkout of Okkhor (no pyproject.toml), so there is nothing to build.")
    # a build leaves files, and takes in those of an older one; the copy lies where a killed one is found and removed
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as copy:
        copy_sources(project, Path(copy))
        command = [sys.executable, "-m", "pip", "wheel", *OPTIONS, "--wheel-dir", str(folder), copy]
        built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        reason = (built.stderr.strip() or built.stdout.strip() or "no message").splitlines()[-1]
        raise InputError(
            f"The wheel of this package could not be built: {reason}\n"
            f"It needs pip and setuptools 77 or newer in {sys.executable}."
        )
    return next(folder.glob("okkhor-*.whl"))


def copy_sources(project: Path, folder: Path) -> None:
    """One by one: shutil.copytree would gather the errors of a full disk, without a number."""
    for path in [path for name in SOURCES for path in (project / name, *(project / name).rglob("*"))]:
        own = path.relative_to(project)
        if path.is_file() and not any(part == "__pycache__" or part.endswith(".egg-info") for part in own.parts):
            (folder / own).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / own)
