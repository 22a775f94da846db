"""What a report says of one run or of two side by side, and the HTML page of it: one file, that fetches nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from okkhor.files import replacing
from okkhor.report.lettering import Lettering, Outline


@dataclass(frozen=True)
class Score:
    """A score, or a difference of two, and its 95 % interval."""

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
class Pair:
    """A class that is read as another. wrong: pictures of images that were; right: of images of the other class."""

    truth: str
    decoded: str
    images: int
    share: float
    wrong: Sequence[str] = ()
    right: Sequence[str] = ()


@dataclass(frozen=True)
class Mistake:
    """A label that is wrong. grapheme: the whole that the image is of; picture: of it, where the images are at hand."""

    image_id: str
    head: str
    truth: str
    decoded: str
    probability: float
    truth_probability: float
    grapheme: str = ""
    picture: str = ""


@dataclass(frozen=True)
class HeadLook:
    """picture: the image, coloured where the head looks; decoded: what it reads there."""

    head: str
    truth: str
    decoded: str
    probability: float
    picture: str


@dataclass(frozen=True)
class Look:
    image_id: str
    grapheme: str
    heads: Sequence[HeadLook]


@dataclass(frozen=True)
class ClassRecall:
    text: str
    label: int
    images: int
    training_images: int
    recall: float


@dataclass(frozen=True)
class Cost:
    """What training a fold took. seconds: of an epoch, on average, with rendering and without validation."""

    fold: int
    epochs: int
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)

    @property
    def minutes(self) -> float:
        return self.seconds * self.epochs / 60


@dataclass(frozen=True)
class RunReport:
    """One run. pairs, classes, calibration_errors: by head. aspect: width over height that its pictures are shown in.

    looks_note, pictures_note: why there are none.
    """

    name: str
    preset: str
    data: str
    backbone: str
    size: int
    aspect: float
    num_images: int
    rows: Sequence[ScoreRow]
    pairs: Mapping[str, Sequence[Pair]]
    mistakes: Sequence[Mistake]
    looks: Sequence[Look]
    classes: Mapping[str, Sequence[ClassRecall]]
    calibration_errors: Mapping[str, float]
    costs: Sequence[Cost]
    versions: Mapping[str, str]
    looks_note: str = ""
    pictures_note: str = ""


@dataclass(frozen=True)
class Setting:
    """values: of each run; differs: between them."""

    key: str
    values: Sequence[Any]
    default: Any

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)

    @property
    def is_shown(self) -> bool:
        """Without being asked for: some run differs from another or from the default."""
        return self.differs or self.values[0] != self.default


@dataclass(frozen=True)
class Change:
    """A class that two runs read differently well."""

    head: str
    text: str
    label: int
    images: int
    recalls: Sequence[float]


@dataclass(frozen=True)
class Report:
    """One run or two. learning: figures; recall and reliability: a figure for each head."""

    runs: Sequence[RunReport]
    settings: Sequence[Setting]
    learning: Sequence[Markup]
    recall: Mapping[str, Markup]
    reliability: Mapping[str, Markup]
    differences: Sequence[ScoreRow] = ()
    changes: Sequence[Change] = ()
    drawn: str = "images"  # what is drawn anew for the intervals

    @property
    def title(self) -> str:
        return " and ".join(run.name for run in self.runs)


def write_report(report: Report, outline: Outline, path: Path) -> None:
    """Write the page. outline: draws Bengali, see Lettering."""
    environment = Environment(
        loader=PackageLoader("okkhor.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": _words, "short": _short, "breakable": _breakable, "score": _score, "plain": _plain}
    lettering = Lettering(outline)
    text = environment.get_template("report.html").render(report=report, lettering=lettering)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(head: str) -> str:
    return head.removeprefix("grapheme_").removesuffix("_diacritic")


def _breakable(key: str) -> Markup:
    """A setting's key, which a narrow table may break behind each part."""
    return Markup("<wbr>").join(re.findall(r"[^._]*[._]?", key))


def _score(value: float, sign: str = "") -> str:
    """.9353 or +.0012: a score without the nought that all have before the point."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def _plain(value: object) -> str:
    """A setting as it is given on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
