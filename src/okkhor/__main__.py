"""./run.sh [command] key=value ...: finds the command, and turns what went wrong into an exit status.

0: done. 2: something that the person can mend, told in a line or two. 1: a bug, with its traceback.
130: interrupted, with the line to type to go on.
"""

import difflib
import errno
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

from okkhor.errors import LOST_ANOTHER, ConfigError, InputError

COMMANDS = {
    "download": "the competition's files by Kaggle's own client, checked, into input/bengaliai-cv19",
    "train": "train folds: prepare, train, score out of fold, predict the test images, write the submission",
    "prepare": "check the input, build cache and folds, say what was found, and stop",
    "score": "score a run out of fold, its decoding and its mistakes (run=), or a submission (submission=)",
    "predict": "predict a data folder's test images with a run's networks, write the submission",
    "ensemble": "several runs as one: score that ensemble out of fold, write its submission",
    "package": "a run or an ensemble as a data set and a kernel for Kaggle, which predicts offline: dist/<run>/",
    "rehearse": "run that kernel here as Kaggle would: no network, 16 GB; how long it would take, what it would use",
    "read": "read the grapheme in photos, scans or drawings: `read photo.jpg scan.png run=<run>`",
    "demo": "a page on this machine on which to draw a grapheme with mouse or finger, and see what is read",
    "export": "a run's networks as ONNX files, checked against torch",
    "report": "one HTML page of a run (run=), or of two side by side (runs=[a,b]): runs/<run>/report.html",
    "show": "draw what the settings do to images: `show augment`, before and after it; `show sample`, rendered ones",
    "bench": "measure how fast everything is here, beside the same work bare, and how much memory it takes",
    "degradation": "train ResNet-34 with and without shortcuts, draw the two curves",
}

LONGEST = 1000  # characters of a message

MENDABLE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room, or set another folder."),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Allow this user to read and write there, or set another folder."),
    errno.EROFS: "Set a folder that can be written to.",
    **dict.fromkeys(
        (errno.ENOENT, errno.ENOTDIR),
        "Was it moved or deleted, or does a link lead nowhere? Put it back, or name another.",
    ),
    **dict.fromkeys((errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY), "Move away what is in its place."),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), "Set a shorter path, without a link that leads back to itself."),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "The disk or the network to it fails: see whether the files are whole."),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Allow more open files, by `ulimit -n 4096`."),
    errno.ENOMEM: "Try a smaller train.batch_size, or fewer data.num_workers.",
}
"""What a person can mend of what the system refuses, and how."""

HELP = """usage: ./run.sh [command] key=value ...

commands (the first is the default)
{commands}
  test         run the tests; what follows goes to pytest

settings that people use most
  fold=0, fold=[0,2], fold=all    which folds                    run=<name>       where it is kept: runs/<name>/
  config=<preset>                 a file of configs/             overwrite=true   train a finished fold again
  data.root=<folder>              in the competition's format    train.epochs=10  train.batch_size=64
Every setting, with its unit and default, stands in src/okkhor/config.py."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    try:
        command, settings = split_command(arguments)
        if command == "help":
            print(HELP.format(commands="\n".join(f"  {name:12} {text}" for name, text in COMMANDS.items())))
            return 0
        importlib.import_module(f"okkhor.commands.{command}").main(settings)
    except InputError as error:
        if is_of_ctrl_c(error):
            return tell_interrupted(arguments)
        tell("Settings" if isinstance(error, ConfigError) else "Input", str(error))
        return 2
    except BrokenPipeError:  # ./run.sh score | head: whoever read the output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the flush at the end complain
        return 1
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        tell("Files", f"{error.filename or 'writing'}: {error.strerror}. {MENDABLE[error.errno]}")
        return 2
    except (MemoryError, RuntimeError) as error:
        if has_lost_another(error):
            return LOST_ANOTHER
        remedy = find_remedy(error)
        if not remedy:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        tell("Memory", f"{reason} {remedy}")
        return 2
    except KeyboardInterrupt:
        return tell_interrupted(arguments)
    return 0


def is_of_ctrl_c(error: BaseException | None) -> bool:
    """Whether a library that was interrupted in the middle then failed itself."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def tell_interrupted(arguments: Sequence[str]) -> int:
    again = [argument for argument in arguments if argument.partition("=")[0] != "overwrite"]
    if "LOCAL_RANK" not in os.environ:  # else the launcher says it, once
        print(f"\nInterrupted. To go on: {shlex.join(['./run.sh', *again])}", file=sys.stderr)
    return 130


def find_remedy(error: Exception) -> str:
    """What to do against too little memory, or the loss of a worker process; "" where it is something else."""
    name, text = type(error).__name__, str(error)  # names of classes that are not imported here: torch's, Python's
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "Try a smaller train.batch_size."
    if name == "BrokenProcessPool" or "DataLoader" in text:
        return "Is memory full? Type the same again to go on; data.num_workers=0 needs no workers."
    return ""


def has_lost_another(error: Exception) -> bool:
    """Whether this is one process of several, and torch's gloo or NCCL can't reach another."""
    is_distributed = type(error).__name__.startswith("Dist") or "gloo" in str(error) or "NCCL" in str(error)
    return "LOCAL_RANK" in os.environ and is_distributed


def tell(kind: str, text: str) -> None:
    """Print what a person can mend; what a damaged file holds may be endless, or orders to the terminal."""
    plain = "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
    print(f"{kind}: {plain[:LONGEST]}{'...' if len(plain) > LONGEST else ''}", file=sys.stderr)


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command, `train` where none is named, and its settings. Raises ConfigError for an unknown command."""
    if not arguments or "=" in arguments[0]:
        return "train", list(arguments)
    command = arguments[0]
    if command in ("help", "--help", "-h"):
        return "help", []
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(f"no command '{command}'.{hint} Commands: {', '.join(COMMANDS)}, test. See ./run.sh help.")
    return command, list(arguments[1:])


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a log file shows each line at once
    sys.exit(main(sys.argv[1:]))
