"""`Report`: what a report says of one run or two, and `write_report`, its HTML page: one file that fetches nothing."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from okkhor.config import Config
from okkhor.files import replacing

ABOVE, BELOW = 1000, 500  # shown above and below the baseline, in units of 1/1000 of the font's size

Outline = Callable[[str], tuple[str, int] | None]
"""A text -> an SVG path, 1000 units to the font's size, y downwards from the baseline, and its width; or None."""


@dataclass(frozen=True)
class Score:
    """A score, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoreRow:
    """scores: `score` and the macro recall of each head, by name."""

    name: str
    images: int
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class HeadActivation:
    """picture: the image, coloured where the head looks."""

    head: str
    truth: str
    decoded: str
    probability: float
    picture: str


@dataclass(frozen=True)
class Activation:
    image_id: str
    grapheme: str
    heads: Sequence[HeadActivation]


@dataclass(frozen=True)
class Cost:
    """The cost of training a fold. images: in an epoch. seconds: an epoch's mean, without validation."""

    fold: int
    epochs: int
    images: int
    seconds: float


@dataclass(frozen=True)
class RunReport:
    """One run. pairs, mistakes, classes: rows of the tables of scoring/mistakes.py (pandas' itertuples).

    aspect: of the pictures, width over height. pairs, classes, calibration_errors: by head. activations_note,
    pictures_note: why there are none.
    """

    name: str
    config: Config
    aspect: float
    num_images: int
    rows: Sequence[ScoreRow]
    pairs: Mapping[str, Sequence[Any]]
    mistakes: Sequence[Any]
    activations: Sequence[Activation]
    classes: Mapping[str, Sequence[Any]]
    calibration_errors: Mapping[str, float]
    costs: Sequence[Cost]
    versions: Mapping[str, str]
    activations_note: str = ""
    pictures_note: str = ""


@dataclass(frozen=True)
class Setting:
    """values: of each run."""

    key: str
    values: Sequence[Any]
    default: Any

    @property
    def differs(self) -> bool:
        """Whether the runs have different values."""
        return any(value != self.values[0] for value in self.values)

    @property
    def is_shown(self) -> bool:
        """Whether the page shows it without a click: a run differs from the other or from the default."""
        return self.differs or self.values[0] != self.default


@dataclass(frozen=True)
class Report:
    """One run or two.

    learning: figures. recall, reliability: by head, a figure. changes: rows of the table `recall` with `recall_other`,
    the second run's. drawn: what the bootstrap draws for the intervals.
    """

    runs: Sequence[RunReport]
    settings: Sequence[Setting]
    learning: Sequence[Markup]
    recall: Mapping[str, Markup]
    reliability: Mapping[str, Markup]
    differences: Sequence[ScoreRow] = ()
    changes: Sequence[Any] = ()
    drawn: str = "images"

    @property
    def title(self) -> str:
        return " and ".join(run.name for run in self.runs)


class Lettering:
    """Turns a text into markup that shows it: Bengali text as outlines, for a machine that may lack its fonts.

    Each text is drawn once; at the page's end, `sprite` holds the outlines of all texts so far.
    """

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.names: dict[str, str] = {}
        self.paths: list[Markup] = []

    def __call__(self, text: str) -> Markup:
        drawn = self.outline(text) if any("\u0980" <= letter <= "\u09ff" for letter in text) else None
        if drawn is None:
            return Markup('<span class="word">{}</span>').format(text)
        path, width = drawn
        if text not in self.names:
            self.names[text] = f"text{len(self.names)}"
            self.paths.append(Markup('<path id="{}" d="{}"/>').format(self.names[text], path))
        box = f"0 {-ABOVE} {width} {ABOVE + BELOW}"
        return Markup('<svg class="text" role="img" aria-label="{}" viewBox="{}"><use href="#{}"/></svg>').format(
            text, box, self.names[text]
        )

    def sprite(self) -> Markup:
        paths = Markup("").join(self.paths)
        return Markup('<svg class="sprite" aria-hidden="true"><defs>{}</defs></svg>').format(paths)


def write_report(report: Report, outline: Outline, path: Path) -> None:
    """Write the page of a report. outline: draws Bengali text, see Lettering."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.loader = PackageLoader("okkhor.report", ".")
    environment.filters |= {"short": _short, "breakable": _breakable, "score": _score, "plain": _plain}
    lettering = Lettering(outline)
    text = environment.get_template("report.html").render(report=report, lettering=lettering)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _short(head: str) -> str:
    return head.removeprefix("grapheme_").removesuffix("_diacritic")


def _breakable(key: str) -> Markup:
    """A setting's key, which a narrow table may break after each point and underscore."""
    return Markup("<wbr>").join(re.findall(r"[^._]*[._]?", key))


def _score(value: float, sign: str = "") -> str:
    """.9353 or +.0012: a score without the zero before the point."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def _plain(value: object) -> str:
    """A setting as it is given on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
