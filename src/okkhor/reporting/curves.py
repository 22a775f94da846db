"""Learning curves as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
