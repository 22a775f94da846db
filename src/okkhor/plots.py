"""Learning curves as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from okkhor.files import replacing

CURVES = {"train_loss": "training loss", "score": "out-of-fold score"}
"""By column of log.jsonl, what it is."""

Log = Sequence[Mapping[str, float]]
"""The lines of a log.jsonl."""


def draw_curves(logs: Mapping[str, Log], path: Path) -> None:
    """The training loss and the score of each epoch, side by side, a line for each log by title; written as PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")  # inches
    panels = figure.subplots(1, 2)
    for panel, column in zip(panels, CURVES, strict=True):
        for title, log in logs.items():
            plot_curve(panel, log, column, label=title)
        panel.set_ylabel(CURVES[column])
        panel.grid(alpha=0.3)
    panels[0].legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def plot_curve(panel: Axes, log: Log, column: str, **style: Any) -> None:
    """A column of the log over the epochs."""
    panel.plot([line["epoch"] for line in log], [line[column] for line in log], marker="o", **style)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def draw_batches(batches: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    """A row for each batch, its title on the left; written as PNG. batches: by title, (B, H, W) uint8, ink bright."""
    num_images = max(len(images) for images in batches.values())
    height, width = next(iter(batches.values())).shape[1:]
    figure = Figure(figsize=(1.1 * num_images * width / height, 1.2 * len(batches)), layout="constrained")  # inches
    panels = figure.subplots(len(batches), 1, squeeze=False)[:, 0]
    for panel, (title, images) in zip(panels, batches.items(), strict=True):
        framed = np.pad(images, ((0, 0), (1, 1), (1, 1)), constant_values=128)  # gray lines between the images
        panel.imshow(np.hstack(list(framed)), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.set_ylabel(title, rotation=0, horizontalalignment="right", verticalalignment="center")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


class Cost(Protocol):
    """memory: bytes."""

    @property
    def seconds(self) -> float: ...
    @property
    def memory(self) -> int: ...


def draw_scaling(growth: Mapping[str, Mapping[int, Cost]], rates: Mapping[str, float], path: Path) -> None:
    """Seconds and peak memory over the rows, a line for each task, and a bar for each rate; written as PNG.

    growth: by task and number of rows. rates: images per second of training, by who trains.
    """
    figure = Figure(figsize=(11, 3.4), layout="constrained")  # inches
    time, memory, speed = figure.subplots(1, 3)
    for task, costs in growth.items():
        thousands = [rows / 1000 for rows in costs]
        time.plot(thousands, [cost.seconds for cost in costs.values()], marker="o", label=task)
        memory.plot(thousands, [cost.memory / 1e9 for cost in costs.values()], marker="o", label=task)
    time.set(xlabel="thousand rows", ylabel="seconds")
    memory.set(xlabel="thousand rows", ylabel="peak memory, GB")
    time.legend()
    bars = speed.bar([name.replace(", ", ",\n") for name in rates], list(rates.values()), width=0.6)
    speed.bar_label(bars, fmt="%.0f")
    speed.set(ylabel="training, images per second")
    for panel in (time, memory, speed):
        panel.margins(y=0.1)  # room for the bars' labels
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
