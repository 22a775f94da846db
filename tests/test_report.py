"""./run.sh report: the page of a run, of two, and of one that lacks its data; read as HTML, and in a real browser."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import Project

from okkhor.errors import InputError
from okkhor.rendering.outlines import draw_outline
from okkhor.report import picture_section as report_pictures
from okkhor.report.page import Mistake, Report, RunReport, Score, ScoreRow, Setting, write_report
from okkhor.schema import HEAD_NAMES

HOSTILE = "<script>alert('ক')</script><img src=x onerror=alert(1)>"
SAMPLE = ("sample.num_graphemes=200", "sample.images_per_grapheme=5")  # enough that some can be held out
MAX_BYTES = 3_000_000
BENGALI = re.compile("[\u0980-\u09ff]")
SETTINGS = ("fold=[0,1]", "config=smoke", "train.epochs=1", "folds.scheme=unseen", *SAMPLE, "train.num_threads=1")


class Page(HTMLParser):
    """Its tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two small runs on the same folds, each of two folds."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.call(*SETTINGS)
    project.call(*SETTINGS, "run=wider", "seed=1", "data.size=48")
    return project


@pytest.fixture(scope="module")
def page(trained: Project) -> Path:
    assert "runs/smoke/report.html" in trained.call("report", "run=smoke").stdout
    return trained.folder / "runs/smoke/report.html"


@pytest.fixture(scope="module")
def pair(trained: Project) -> Path:
    trained.call("report", "runs=[smoke,wider]")
    return trained.folder / "runs/smoke/report-beside-wider.html"


def short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def test_the_page_is_one_small_file_that_fetches_nothing(page: Path, pair: Path) -> None:
    for path in (page, pair):
        assert path.stat().st_size < MAX_BYTES
        found = Page(path)
        for tag, attributes in found.tags:
            assert tag not in ("script", "iframe", "object", "embed", "base", "form", "audio", "video")
            assert not any(name.startswith("on") for name in attributes), attributes
            for name in ("src", "href", "xlink:href"):
                assert (attributes.get(name) or "#").startswith(("#", "data:image/", "data:,")), attributes[name]
        assert "url(http" not in path.read_text()
        ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = {
            attributes[name] for _, attributes in found.tags for name in ("href", "xlink:href") if name in attributes
        }
        assert {target[1:] for target in targets if target and target.startswith("#")} <= set(ids)


def test_it_says_the_scores_of_each_fold_and_of_seen_and_unseen(trained: Project, page: Path) -> None:
    text = " ".join(Page(page).text)
    for fold in (0, 1):
        metrics = json.loads((trained.folder / f"runs/smoke/fold{fold}/metrics.json").read_text())
        after = text[text.index(f"fold {fold} ") :][:600]
        assert all(short(metrics[key]) in after for key in ("score", *HEAD_NAMES)), after
    printed = trained.call("score", "run=smoke").stdout
    for name, shown in (
        ("all", "all folds"),
        ("seen", "seen"),
        ("unseen", "unseen"),
        ("mix", "mix as in the private test"),
    ):
        line = next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])
        row = re.search(rf" {shown} [\d,]+ images (.*?)(?= \w+ [\d,]+ images|$)", re.sub(r"\s+", " ", text))
        assert row, shown
        assert [short(float(value)) for value in line[1:]] == row[1].split()[::4][:4]


def test_two_runs_stand_side_by_side_with_the_interval_of_their_difference(trained: Project, pair: Path) -> None:
    printed = [trained.call("score", f"run={name}").stdout for name in ("smoke", "wider")]
    whole = [next(line.split() for line in text.splitlines() if line.split()[:1] == ["all"]) for text in printed]
    text = " ".join(Page(pair).text)
    after = re.sub(r"\s+", " ", text[text.index("wider less smoke") :])
    match = re.search(r"all 400 images ([-+][.\d]+) ([-+][.\d]+) – ([-+][.\d]+)", after)
    assert match, after[:300]
    gain, low, high = map(float, match.groups())
    assert gain == pytest.approx(float(whole[1][1]) - float(whole[0][1]), abs=2e-4)
    assert low <= gain <= high
    assert "data.size" in "".join(Page(pair).text)
    recalls = [
        trained.read(f"runs/{name}/mistakes/recall.csv").set_index(["head", "label"]) for name in ("smoke", "wider")
    ]
    gains = (recalls[1]["recall"] - recalls[0]["recall"]).abs().nlargest(12).round(3)
    gains = gains[gains > 0]
    changes = re.findall(r"[01]\.\d{3} [01]\.\d{3} [-+]([01]\.\d{3})", re.sub(r"\s+", " ", text))
    assert [float(change) for change in changes] == pytest.approx(gains.tolist(), abs=0.0011)


def test_bengali_is_drawn_and_never_left_to_the_fonts_of_the_machine(page: Path) -> None:
    found = Page(page)
    assert not BENGALI.search("".join(found.text))
    drawn = [attributes for attributes in found.all("svg") if attributes.get("class") == "text"]
    assert len(drawn) > 50
    assert all(BENGALI.search(attributes["aria-label"] or "") for attributes in drawn)


def test_a_hostile_name_stays_text(trained: Project, tmp_path: Path) -> None:
    copy = trained.folder / "input/hostile"
    shutil.copytree(trained.folder / "input/smoke", copy)
    class_map = pd.read_csv(copy / "class_map.csv", dtype=str)
    class_map["component"] = [f"{HOSTILE}{row}" for row in range(len(class_map))]
    class_map.to_csv(copy / "class_map.csv", index=False)
    train = pd.read_csv(copy / "train.csv", dtype=str)
    train["grapheme"] = HOSTILE + train["grapheme"]
    train.to_csv(copy / "train.csv", index=False)
    trained.call("report", "run=smoke", "data.root=input/hostile")
    made = trained.folder / "runs/smoke/report.html"
    assert_harmless(made)
    made.replace(tmp_path / "hostile.html")
    write_hostile(tmp_path / "names.html")
    assert_harmless(tmp_path / "names.html")
    trained.call("report", "run=smoke")


def assert_harmless(path: Path) -> None:
    found = Page(path)
    assert not found.all("script")
    assert all((image["src"] or "").startswith("data:image/") for image in found.all("img"))
    assert "alert(" in "".join(found.text)


def write_hostile(path: Path) -> None:
    """A page in which everything that a person names is hostile."""
    row = ScoreRow(HOSTILE, 1, {name: Score(0.5, 0.4, 0.6) for name in ("score", *HEAD_NAMES)})
    run = RunReport(
        name=HOSTILE,
        preset=HOSTILE,
        data=HOSTILE,
        backbone=HOSTILE,
        size=48,
        aspect=1.0,
        num_images=1,
        rows=[row],
        pairs=dict.fromkeys(HEAD_NAMES, ()),
        mistakes=[Mistake(HOSTILE, HEAD_NAMES[0], HOSTILE, HOSTILE, 0.9, 0.1, HOSTILE, "")],
        looks=(),
        classes=dict.fromkeys(HEAD_NAMES, ()),
        calibration_errors=dict.fromkeys(HEAD_NAMES, 0.1),
        costs=(),
        versions={HOSTILE: HOSTILE},
        looks_note=HOSTILE,
        pictures_note=HOSTILE,
    )
    settings = [Setting(HOSTILE, [HOSTILE, [HOSTILE]], "")]
    figures = dict.fromkeys(HEAD_NAMES, "")
    report = Report([run, run], settings, learning=(), recall=figures, reliability=figures, differences=[row])  # type: ignore[arg-type]
    write_report(report, draw_outline, path)


def test_without_its_data_folder_a_run_has_a_page_without_pictures(trained: Project) -> None:
    assert "input/gone is not here" in trained.call("report", "run=wider", "data.root=input/gone").stdout
    found = Page(trained.folder / "runs/wider/report.html")
    assert "input/gone is not here" in "".join(found.text)
    assert not found.all("img")
    assert len([attributes for attributes in found.all("svg") if attributes.get("class") == "text"]) > 50


def test_another_data_folder_is_refused(trained: Project) -> None:
    folder = "input/other"
    few = "sample.num_graphemes=40", "sample.images_per_grapheme=5", "sample.test_images=2", "sample.unseen_graphemes=0"
    trained.call("prepare", "config=smoke", f"sample.root={folder}", f"data.root={folder}", *few)
    error = trained.call("report", "run=smoke", f"data.root={folder}", status=2).stderr
    assert "input/other/train.csv lacks" in error
    assert "data.root=" in error


def test_where_torchcam_is_missing_the_page_says_what_to_type(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_packages: str, **_purpose: str) -> None:
        raise InputError("torchcam is missing: '.[report]'")

    monkeypatch.setattr(report_pictures, "check_extra", refuse)
    assert "'.[report]'" in trained.call("report", "run=wider").stdout
    found = Page(trained.folder / "runs/wider/report.html")
    assert "torchcam is missing" in "".join(found.text)
    assert found.all("img")


def test_what_people_mistype_is_told(trained: Project) -> None:
    for arguments, words in (
        ((), "report needs run=<run>"),
        (("runs=[smoke,wider,smoke]",), "runs=[<run>,<another>]"),
        (("run=smok",), "runs/smok has no finished fold"),
        (("run=smoke", "fold=3"), "fold 3 of run smoke is not finished"),
        (("run=smoke@tta4",), "the views are balanced"),
        (("run=smoke@tta3",), "oof-tta3.parquet: not there"),
    ):
        assert words in trained.call("report", *arguments, status=2).stderr


SCREENS = [(360, 740, True), (768, 1024, True), (1280, 900, False)]  # width, height, whether a phone's


@pytest.mark.slow
@pytest.mark.parametrize("which", ["page", "pair"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height", "mobile"), SCREENS)
def test_a_browser_shows_the_whole_page_without_an_error_or_a_request(
    browser: Any, request: pytest.FixtureRequest, which: str, scheme: str, width: int, height: int, mobile: bool
) -> None:
    path: Path = request.getfixturevalue(which)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("performance")  # what came before
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # chrome: is its own first page, which may come late
    assert [url for url in urls if not url.startswith(("data:", "chrome:"))] == [path.as_uri()]
    sizes = browser.execute_script("return [...document.images].map(image => image.naturalWidth * image.naturalHeight)")
    assert len(sizes) > 50
    assert min(sizes) > 0
    letters = browser.execute_script(
        "return [...document.querySelectorAll('svg.text')].map(svg => svg.getBBox().width)"
    )
    assert min(letters) > 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('.box')].filter(box => box.scrollWidth > box.clientWidth + 1)"
        ".map(box => box.innerText.slice(0, 60))"
    )
    assert wide == []
    page_colour, text_colour = browser.execute_script(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    assert (brightness(page_colour) > 200) == (brightness(text_colour) < 60) == (scheme == "light")


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


@pytest.mark.slow
def test_a_hostile_page_runs_nothing(browser: Any, tmp_path: Path) -> None:
    write_hostile(tmp_path / "names.html")
    browser.get((tmp_path / "names.html").as_uri())
    assert browser.execute_script("return document.title").startswith(HOSTILE)  # no dialogue stands before it
    assert browser.execute_script("return document.querySelectorAll('script, [onerror]').length") == 0
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_paper_gets_a_light_page(browser: Any, page: Path) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    browser.get(page.as_uri())
    assert brightness(browser.execute_script("return getComputedStyle(document.body).backgroundColor")) == 255
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 100_000
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
