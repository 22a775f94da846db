"""Learning curves as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from okkhor.files import replacing


def draw_curves(logs: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """The training loss and the score of each epoch, side by side, a line for each log; written as PNG.

    logs: by title, the lines of a log.jsonl.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")  # inches
    panels = figure.subplots(1, 2)
    for panel, column, label in zip(
        panels, ("train_loss", "score"), ("training loss", "out-of-fold score"), strict=True
    ):
        for title, log in logs.items():
            panel.plot([line["epoch"] for line in log], [line[column] for line in log], marker="o", label=title)
        panel.set(xlabel="epoch", ylabel=label)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
    panels[0].legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
