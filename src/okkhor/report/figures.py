"""Figures of a report as SVG: `draw_learning`, `draw_recalls`, `draw_reliability`, in the page's own colours."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from okkhor.plots import CURVES, Log, plot_curve

RUN_COLOURS = ("#010101", "#010102")
TEXT_COLOUR, LINE_COLOUR = "#020201", "#020202"
VARIABLES = {
    **{colour: f"var(--run{number})" for number, colour in enumerate(RUN_COLOURS)},
    TEXT_COLOUR: "var(--muted)",
    LINE_COLOUR: "var(--line)",
}
"""Colours of the SVG, each replaced by a variable of the page, so that a figure follows the page's colour scheme."""
STYLE: Any = {
    "font.family": ["sans-serif"],
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "okkhor",
    **dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), TEXT_COLOUR),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), LINE_COLOUR),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


@mpl.rc_context(STYLE)
def draw_learning(logs: Sequence[Mapping[str, Log]]) -> list[Markup]:
    """Draw a figure for each of CURVES, a line for each fold, a colour for each run. logs: for each run, by fold."""
    figures = []
    for column, title in CURVES.items():
        figure, panel = _start()
        for run, colour in zip(logs, RUN_COLOURS, strict=False):
            for log in run.values():
                plot_curve(panel, log, column, color=colour)
        panel.set_ylabel(title)
        figures.append(_to_svg(figure, f"curve-{column}", f"{title} over the epochs"))
    return figures


@mpl.rc_context(STYLE)
def draw_recalls(tables: Sequence[pd.DataFrame], head: str) -> Markup:
    """Draw the recall of a head's classes over their training images. tables: of each run, by recall_per_class."""
    figure, panel = _start()
    tables = [table[table["head"] == head] for table in tables]
    for rows, colour in zip(tables, RUN_COLOURS, strict=False):
        panel.scatter(rows["training_images"].clip(lower=1), rows["recall"], s=14, color=colour, alpha=0.6, lw=0)
    lowest = min(rows["recall"].min() for rows in tables)
    panel.set(xscale="log", xlabel="training images of the class", ylabel="recall")
    panel.set_ylim(max(lowest - 0.05, -0.03), 1 + 0.05 * (1 - lowest) + 0.003)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    return _to_svg(figure, f"recall-{head}", "recall of each class over its training images")


@mpl.rc_context(STYLE)
def draw_reliability(tables: Sequence[pd.DataFrame], head: str) -> Markup:
    """Draw a head's accuracy over its confidence. tables: of each run, by `reliability` of scoring/mistakes.py."""
    figure, panel = _start()
    panel.plot((0, 1), (0, 1), color=TEXT_COLOUR, linestyle="--", linewidth=0.8)
    for table, colour in zip(tables, RUN_COLOURS, strict=False):
        rows = table[(table["head"] == head) & (table["images"] > 0)]
        sizes = 8 + 120 * rows["images"] / rows["images"].sum()
        panel.plot(rows["confidence"], rows["accuracy"], color=colour)
        panel.scatter(rows["confidence"], rows["accuracy"], s=sizes, color=colour, lw=0)
    panel.set(xlim=(0, 1.03), ylim=(0, 1.05), xlabel="probability of the class", ylabel="share that is right")
    return _to_svg(figure, f"reliability-{head}", "share that is right over the probability")


def _start() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.7, 2.6), layout="constrained")  # inches: nearly the size on a phone
    return figure, figure.subplots()


def _to_svg(figure: Figure, name: str, description: str) -> Markup:
    """name: prefix of the ids, which must differ within a page."""
    buffer = io.StringIO()
    for patch in (figure.patch, *(panel.patch for panel in figure.axes)):
        patch.set_alpha(0)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"\s+", " ", re.sub(r"font-family: [^;]*; ", "", svg))
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1))
