"""How time and memory grow, as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from okkhor.files import replacing


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
