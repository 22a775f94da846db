"""state.pt: everything that a resume needs. No random state: each step's randomness comes from its number."""

import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from okkhor.errors import InputError
from okkhor.files import replacing


@dataclass
class Progress:
    """Where training stands. A resumed run goes on from here as if it had not stopped."""

    epoch: int = 0  # the epoch in work, or the next one
    batch: int = 0  # batches of it that are done
    loss_sum: float = 0.0  # of those batches
    seconds: float = 0.0  # spent on those batches
    all_seconds: float = 0.0  # spent on all batches so far
    num_batches: int = 0  # of an epoch
    ended: str = ""  # why training ended before its last epoch
    best_score: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)  # the lines of log.jsonl

    @property
    def is_trained(self) -> bool:
        """Whether all of the epoch's batches are done that will be: its validation is next."""
        return self.batch > 0 and (self.batch == self.num_batches or bool(self.ended))

    @property
    def is_over(self) -> bool:
        """Whether training ended early, its last validation included."""
        return bool(self.ended) and self.batch == 0

    def add_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self.all_seconds += seconds

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.batch, self.loss_sum, self.seconds = epoch, 0, 0.0, 0.0


def save_state(path: Path, progress: Progress, parts: dict[str, Any]) -> None:
    """parts: whatever has a state_dict: network, ema, optimizer, schedule, scaler."""
    states = {name: part.state_dict() for name, part in parts.items()}
    # an open file: given a path, torch tells of a full disk by a RuntimeError without its number
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save({"progress": asdict(progress), **states}, file)
        except RuntimeError as error:  # torch's own, on its way out from the system's
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load_state(path: Path, parts: dict[str, Any]) -> Progress:
    """Fill the parts in place. Raises InputError for a damaged or unfitting file."""
    try:
        # torch.save writes a zip file, with checksums that torch.load ignores
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} differs from its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            if state[name]:  # a scaler that does nothing has no state
                part.load_state_dict(state[name])
        return Progress(**state["progress"])
    except (MemoryError, torch.OutOfMemoryError, PermissionError):
        raise  # not the file's fault: it is worth keeping
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(
            f"{path}: can't go on from this file ({reason}). Delete it, or set overwrite=true, to train from the start."
        ) from error
