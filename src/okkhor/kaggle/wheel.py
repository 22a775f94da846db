"""`build_wheel`: this package as a wheel, built without network."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from okkhor.errors import InputError
from okkhor.kaggle.sandbox import last_line

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
OPTIONS = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder. Raises InputError if this is no checkout, or if pip fails."""
    project = Path(__file__).resolve().parents[3]
    if not (project / "pyproject.toml").exists():
        raise InputError(f"{project} is no checkout of Okkhor: it has no pyproject.toml. Clone the repository.")
    # a build leaves files, and takes in those of an older build; the next one removes what a killed one left here
    with tempfile.TemporaryDirectory(dir=folder.resolve()) as copy:
        copy_sources(project, Path(copy))
        command = [sys.executable, "-m", "pip", "wheel", *OPTIONS, "--wheel-dir", str(folder), copy]
        built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise InputError(
            f"The wheel of this package could not be built: {last_line(built.stdout + built.stderr)}\n"
            f"It needs pip and setuptools 77 or newer in {sys.executable}."
        )
    return next(folder.glob("okkhor-*.whl"))


def copy_sources(project: Path, folder: Path) -> None:
    """Copy the files one by one: shutil.copytree joins the errors of a full disk into one without an errno."""
    for path in [path for name in SOURCES for path in (project / name, *(project / name).rglob("*"))]:
        own = path.relative_to(project)
        if path.is_file() and not any(part == "__pycache__" or part.endswith(".egg-info") for part in own.parts):
            (folder / own).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / own)
