"""`explain_unknown`, `respell`: what a person meant who typed an unknown setting, or words without `=`.

Imported where something is wrong: the default run does without.
"""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

MEANT = {
    "lr": "optimizer.learning_rate",
    "optim": "optimizer.name",
    "optimizer": "optimizer.name",
    "bs": "train.batch_size",
    "gpus": "launch.processes",
    "amp": "train.precision",
    "fp16": "train.precision",
    "workers": "data.num_workers",
    "img_size": "data.size",
    "image_size": "data.size",
    "data": "data.root",
    "data_dir": "data.root",
    "path": "data.root",
    "model": "model.backbone",
    "arch": "model.backbone",
    "folds": "fold",
}
"""Other programs' names of settings; and the groups that are typed with a value of one of their settings."""


def explain_unknown(key: str, settings: Collection[str], groups: Collection[str], value: str = "") -> str:
    """Say that there is no such setting, and which one was meant. value: as it was typed."""
    last = key.rpartition(".")[2].lower().replace("-", "_")
    alike = [known for known in settings if known.rpartition(".")[2] == last]
    if key in groups:
        meant = f" Did you mean {MEANT[key]}={value[:40]}?" if key in MEANT and value else ""
        return f"{key} is a group of settings.{meant} They are listed by: ./run.sh help {key}"
    close = [MEANT[last]] if last in MEANT else alike or get_close_matches(key.lower(), [*settings, *groups], n=1)
    hint = f"Did you mean {' or '.join(close)}?" if close else "docs/settings.md lists all."
    return f"there is no such setting. {hint}"


def respell(words: Sequence[str], settings: Collection[str]) -> str:
    """Write words as settings are written: `--fold 0`, `fold = 0`, `--fold=0` -> `fold=0`. "" where none is one."""
    known = {key.rpartition(".")[2]: key for key in settings} | MEANT | {key: key for key in settings}
    text = "\0".join(words).replace("\0=", "=").replace("=\0", "=")
    found: list[str] = []
    for word in text.split("\0"):
        key, equals, value = word.lstrip("-").partition("=")
        key = key if key in known else key.replace("-", "_")
        if found and found[-1] in settings:  # its value follows
            found[-1] += f"={word}"
        else:
            found.append(f"{known[key]}{equals}{value}" if key in known else word)
    return " ".join(found) if all(word.partition("=")[0] in settings and "=" in word for word in found) else ""
