"""Progress, save_state and load_state: state.pt. It needs no random state: a step's draws come from its number."""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from okkhor.errors import InputError, first_line
from okkhor.files import replacing


@dataclass
class Progress:
    """Where training stands; a resumed run continues from here."""

    epoch: int = 0  # the current or the next one
    batch: int = 0  # batches done in this epoch
    loss_sum: float = 0.0  # over those batches, without skipped ones
    skipped: int = 0  # of those batches: float16 could not hold their gradients
    seconds: float = 0.0  # spent on those batches
    all_seconds: float = 0.0  # spent on all batches and validations so far
    num_batches: int = 0  # in an epoch
    ended: str = ""  # why training ended before its last epoch
    best_score: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)  # the lines of log.jsonl

    @property
    def mean_loss(self) -> float:
        """Over the batches of this epoch that were not skipped."""
        return self.loss_sum / max(1, self.batch - self.skipped)

    def add_loss(self, loss: float) -> None:
        """Count a batch. loss: NaN where its step was skipped."""
        self.batch += 1
        self.skipped += math.isnan(loss)
        self.loss_sum += 0.0 if math.isnan(loss) else loss

    @property
    def is_trained(self) -> bool:
        """Whether the epoch's batches are done, so that its validation is next."""
        return self.batch > 0 and (self.batch == self.num_batches or bool(self.ended))

    @property
    def is_over(self) -> bool:
        """Whether training ended early and the last validation is done."""
        return bool(self.ended) and self.batch == 0

    def add_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self.all_seconds += seconds

    def start_epoch(self, epoch: int) -> None:
        self.epoch, self.batch, self.loss_sum, self.skipped, self.seconds = epoch, 0, 0.0, 0, 0.0


def save_state(path: Path, progress: Progress, stateful: Mapping[str, Any]) -> None:
    """Write progress and the state_dict of each object: network, ema, optimizer, schedule, scaler."""
    states = {name: item.state_dict() for name, item in stateful.items()}
    # an open file: with a path, torch raises a RuntimeError without errno when the disk is full
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save({"progress": asdict(progress), **states}, file)
        except RuntimeError as error:  # torch's own, raised while it handles another: a full disk, a killed worker
            raise error.__context__ or error from None


def load_state(path: Path, stateful: Mapping[str, Any]) -> Progress:
    """Fill the objects in place and return the progress. Raises InputError for a damaged or unfit file."""
    try:
        # torch.save writes a zip file with checksums, which torch.load ignores
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} differs from its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, item in stateful.items():
            if state[name]:  # a disabled scaler has no state
                item.load_state_dict(state[name])
        return Progress(**state["progress"])
    except (MemoryError, torch.OutOfMemoryError, PermissionError):
        raise  # the file is not at fault: keep it
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        raise InputError(f"{path}: can't resume from it ({first_line(error)}). overwrite=true starts anew.") from error
