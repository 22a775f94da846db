"""`main` runs `./run.sh [command] key=value ...` and turns what went wrong into an exit status.

0: done. 2: a person can mend it; stderr says how. 1: a bug, with its traceback.
130: interrupted, with the line to type to resume.
"""

import difflib
import errno
import importlib
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from okkhor import __version__
from okkhor.errors import LOST_ANOTHER, ConfigError, InputError, first_line
from okkhor.processes import send_interrupt_again, was_launched

COMMANDS = {
    "download": "download the competition's files with Kaggle's own client into input/bengaliai-cv19, and check them",
    "train": "train folds: prepare, train, score out of fold, predict the test images, write the submission",
    "prepare": "check the input, build cache and folds, print what was found, and stop",
    "score": "score a run out of fold, its decoding and its mistakes (run=), or a submission (submission=)",
    "predict": "predict a data folder's test images with a run's networks, write the submission",
    "ensemble": "combine several runs: score the ensemble out of fold, write its submission",
    "package": "make a data set and a kernel of a run or an ensemble; Kaggle predicts with them offline: dist/<run>/",
    "rehearse": "run that kernel here as Kaggle would: no network, 16 GB; print the time and memory that it would take",
    "read": "read the grapheme in photos, scans or drawings: `read photo.jpg scan.png run=<run>`",
    "demo": "open a page on this machine: draw a grapheme with mouse or finger, see what is read",
    "export": "write a run's networks as ONNX files, checked against torch",
    "report": "write one HTML page of a run (run=), or of two side by side (runs=[a,b]): runs/<run>/report.html",
    "show": "draw images: `show augment`, before and after augmentation; `show sample`, rendered ones",
    "bench": "measure speed and memory of every step here, beside the same work without the pipeline",
    "degradation": "train ResNet-34 with and without shortcuts, and draw the two curves",
}

HELP = """usage: ./run.sh [command] key=value ...

commands (the first is the default)
{commands}
  test         run the tests; what follows goes to pytest
  help         print more about commands, settings or groups of settings: `help train.epochs`, `help train`

settings that people use most
  fold=0, fold=[0,2], fold=all    which folds                    run=<name>       where it is kept: runs/<name>/
  config=<preset>                 a file of configs/             overwrite=true   train a finished fold again
  data.root=<folder>              in the competition's format    train.epochs=10  train.batch_size=64
docs/settings.md lists all settings, with default, range and unit."""

PRESETS = {"train": (), "prepare": (), "show": (), "bench": ("config=bench",), "degradation": ("config=degradation",)}
"""The commands that put their settings over a preset, and what names it."""
LONGEST = 1000  # characters of a message
LOST_WORKER = ("DataLoader worker (pid", "DataLoader timed out", "shared memory(shm)")  # in what torch raises

MENDABLE = {
    "Make room, or set another folder.": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "Allow this user to read and write there, or set another folder.": (errno.EACCES, errno.EPERM),
    "Set a folder that can be written to.": (errno.EROFS,),
    "Was it moved or deleted, or is a link broken? Put it back, or name another.": (errno.ENOENT, errno.ENOTDIR),
    "Move away what is in its place.": (errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    "Set a shorter path, without a link that leads back to itself.": (errno.ENAMETOOLONG, errno.ELOOP),
    "The disk or the network to it fails: see whether the files are whole.": (errno.EIO, errno.ESTALE),
    "Allow more open files, by `ulimit -n 4096`.": (errno.EMFILE, errno.ENFILE),
    "Try a smaller train.batch_size, or fewer data.num_workers.": (errno.ENOMEM,),
}
"""What a person can do, and the system's error numbers that it helps against."""


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit status."""
    was_launched()  # kept: after a failure, the launcher may no longer answer
    try:
        command, settings = split_command(arguments)
        if command == "version":
            print(f"okkhor {__version__}, Python {platform.python_version()}")
        elif command != "help":
            check_settings(command, settings)
            importlib.import_module(f"okkhor.commands.{command}").main(settings)
        elif settings:
            importlib.import_module("okkhor.commands.help").main(settings, COMMANDS)
        else:
            print(HELP.format(commands="\n".join(f"  {name:12} {text}" for name, text in COMMANDS.items())))
    except KeyboardInterrupt:
        if not was_launched():  # of several processes, the launcher alone prints it
            again = [argument for argument in arguments if argument.partition("=")[0] != "overwrite"]
            print(f"\nInterrupted. To resume: {shlex.join(['./run.sh', *again])}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # ./run.sh score | head: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at the end doesn't fail
        return 1
    except (InputError, OSError, MemoryError, RuntimeError, ModuleNotFoundError) as error:
        if has_lost_another(error):
            tell(f"Process {os.environ.get('RANK', '')}: {' '.join(str(error).split())}")  # NCCL's reason comes last
            return LOST_ANOTHER
        text = explain(error)
        if not text:
            raise
        tell(text)
        return 2
    return 0


def explain(error: Exception) -> str:
    """Say what went wrong and what a person can do; "" for a bug."""
    name = type(error).__name__  # torch and concurrent.futures, whose errors have these names, are not imported here
    if isinstance(error, InputError):
        return f"{'Settings' if isinstance(error, ConfigError) else 'Input'}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("okkhor"):
        install = f"{sys.executable} -m pip install -r requirements.lock"
        return f"Packages: {sys.executable} lacks the package {error.name}. Install all, then start again:\n{install}"
    if isinstance(error, OSError):
        remedy = next((remedy for remedy, numbers in MENDABLE.items() if error.errno in numbers), "")
        return f"Files: {error.filename or 'writing'}: {error.strerror}. {remedy}" if remedy else ""
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return f"Memory: {first_line(error)} Try a smaller train.batch_size."
    if name == "BrokenProcessPool" or any(sign in str(error) for sign in LOST_WORKER):
        remedy = "Is memory or /dev/shm full? Type the same again to resume; data.num_workers=0 needs no workers."
        return f"Memory: {first_line(error)} {remedy}"
    return ""


def has_lost_another(error: Exception) -> bool:
    """Whether this is one of several processes, and torch's gloo or NCCL can't reach another."""
    text = f"{type(error).__name__} {error}"
    is_distributed = text.startswith("Dist") or "gloo" in text or "NCCL" in text
    return isinstance(error, RuntimeError) and was_launched() and is_distributed


def tell(text: str) -> None:
    """Print to stderr. The text may quote a damaged file, whose content is endless or has orders to the terminal."""
    plain = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
    print(f"{plain[:LONGEST]}{'...' if len(plain) > LONGEST else ''}", file=sys.stderr)


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split off the command, `train` where a setting comes first. Raises ConfigError for an unknown one."""
    first = arguments[0] if arguments else ""
    command, settings = ("train", list(arguments)) if not first or "=" in first else (first, list(arguments[1:]))
    if command in ("version", "--version", "-V"):
        return "version", []
    if command in ("help", "--help", "-h"):
        return "help", settings
    if {"--help", "-h"} & set(settings):
        return "help", [command]
    if command not in COMMANDS:
        check_written(arguments)
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(f"no command '{command}'.{hint} Commands: {', '.join(COMMANDS)}, test. See ./run.sh help.")
    return command, settings


def check_settings(command: str, arguments: Sequence[str]) -> None:
    """Raise ConfigError now for what is wrong with the settings alone: the command's imports take ten seconds."""
    from okkhor.settings import load_arguments, load_config, select_folds  # here: they need packages

    if command == "read":  # also takes paths, which may have a =
        folder = Path(os.environ.get("OKKHOR_CALLER", "."))
        arguments = [argument for argument in arguments if "=" in argument and not (folder / argument).exists()]
    elif command == "show":
        arguments = arguments[1:]
    check_written(arguments)
    if command not in PRESETS:
        load_arguments(arguments)
        return
    with redirect_stdout(StringIO()):  # the command prints the preset
        config = load_config([*PRESETS[command], *arguments])
    select_folds(0 if config.fold is None else config.fold, config.folds.num_folds)


def check_written(arguments: Sequence[str]) -> None:
    """Raise ConfigError for settings that are written in another way than key=value: fold 0, --fold=0."""
    if not all(argument.partition("=")[2] and argument[0] not in "-=" for argument in arguments):
        from okkhor.hints import respell
        from okkhor.settings import SETTINGS

        if meant := respell(arguments, SETTINGS):
            raise ConfigError(f"settings are written key=value. Did you mean: {meant}")


if __name__ == "__main__":
    # a log file shows each line at once, and \\u0995 where it can't hold Bengali
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    sys.unraisablehook = send_interrupt_again
    os.environ["MPLBACKEND"] = "agg"  # a notebook's, such as widget, is no name to matplotlib here
    sys.exit(main(sys.argv[1:]))
