"""Pictures of curves and images: `draw_curves`, `draw_batches`, and `plot_curve`, which the report uses too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from okkhor.files import replacing

CURVES = {"train_loss": "training loss", "score": "out-of-fold score"}
"""Columns of log.jsonl and their titles."""

Log = Sequence[Mapping[str, float]]
"""The lines of a log.jsonl."""


def draw_curves(logs: Mapping[str, Log], path: Path) -> None:
    """Draw training loss and score over the epochs, side by side, as PNG. logs: by title, a line each."""
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
    """Plot a column of a log over the epochs. style: of the line, as matplotlib takes it."""
    panel.plot([line["epoch"] for line in log], [line[column] for line in log], marker="o", **style)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def draw_batches(batches: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    """Draw a row for each batch, its title on the left, as PNG. batches: by title, (B, H, W) uint8, bright ink on 0."""
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
