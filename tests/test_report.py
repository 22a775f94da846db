"""./run.sh report: the page of a run, of two, and of one without its data; read as HTML, and in a real browser."""

import contextlib
import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Project, Refused, make_run

from okkhor.config import Config, DataConfig, ModelConfig
from okkhor.pipeline.mistakes import find_mistakes
from okkhor.rendering.fonts import draw_outline
from okkhor.rendering.graphemes import CLASS_MAP_FILE, package_text
from okkhor.report.page import Setting, write_report
from okkhor.report.report import make_report
from okkhor.report.run_data import open_images, read_run_data
from okkhor.schema import HEAD_NAMES

HOSTILE = "<script>alert('ক')</script><img src=x onerror=alert(1)>"
MAX_BYTES = 3_000_000
BENGALI = re.compile("[\u0980-\u09ff]")


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

    def drawn_texts(self) -> list[dict[str, str | None]]:
        return [attributes for attributes in self.all("svg") if attributes.get("class") == "text"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, competition: Path) -> Project:
    """Two runs of the small folder, with the texts of Kaggle's class_map.csv."""
    project = Project(tmp_path_factory.mktemp("project"))
    root = project.folder / "input/small"
    shutil.copytree(competition, root)
    (root / CLASS_MAP_FILE).write_text(package_text(CLASS_MAP_FILE), encoding="utf-8")
    make_run(project.folder, "small", DataConfig(root="input/small", size=32, crop_to_ink=True))
    make_run(project.folder, "wider", DataConfig(root="input/small", size=48), seed=7)
    return project


@pytest.fixture(scope="module")
def page(project: Project) -> Path:
    assert "runs/small/report.html" in project.call("report", "run=small").stdout
    return project.folder / "runs/small/report.html"


@pytest.fixture(scope="module")
def pair(project: Project) -> Path:
    project.call("report", "runs=[small,wider]")
    return project.folder / "runs/small/report-beside-wider.html"


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
        targets = {attributes.get(name) or "" for _, attributes in found.tags for name in ("href", "xlink:href")}
        assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)


def test_it_says_the_scores_of_each_fold_and_of_seen_and_unseen(project: Project, page: Path) -> None:
    text = " ".join(Page(page).text)
    for fold in (0, 1):
        metrics = json.loads((project.folder / f"runs/small/fold{fold}/metrics.json").read_text())
        after = text[text.index(f"fold {fold} ") :][:600]
        assert all(short(metrics[key]) in after for key in ("score", *HEAD_NAMES)), after
    printed = project.call("score", "run=small").stdout
    titles = {"all": "all folds", "seen": "seen", "unseen": "unseen", "mix": "mix as in the private test"}
    for name, shown in titles.items():
        line = next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])
        row = re.search(rf" {shown} [\d,]+ images (.*?)(?= \w+ [\d,]+ images|$)", re.sub(r"\s+", " ", text))
        assert row, shown
        assert [short(float(value)) for value in line[1:]] == row[1].split()[::4][:4]


def test_two_runs_stand_side_by_side_with_the_interval_of_their_difference(project: Project, pair: Path) -> None:
    printed = [project.call("score", f"run={name}").stdout for name in ("small", "wider")]
    whole = [next(line.split() for line in text.splitlines() if line.split()[:1] == ["all"]) for text in printed]
    text = " ".join(Page(pair).text)
    after = re.sub(r"\s+", " ", text[text.index("wider less small") :])
    match = re.search(r"all 24 images ([-+][.\d]+) ([-+][.\d]+) – ([-+][.\d]+)", after)
    assert match, after[:300]
    gain, low, high = map(float, match.groups())
    assert gain == pytest.approx(float(whole[1][1]) - float(whole[0][1]), abs=2e-4)
    assert low <= gain <= high
    assert "data.size" in "".join(Page(pair).text)
    recalls = [
        project.read(f"runs/{name}/mistakes/recall.csv").set_index(["head", "label"]) for name in ("small", "wider")
    ]
    gains = (recalls[1]["recall"] - recalls[0]["recall"]).abs().nlargest(12).round(3)
    gains = gains[gains > 0]
    changes = re.findall(r"[01]\.\d{3} [01]\.\d{3} [-+]([01]\.\d{3})", re.sub(r"\s+", " ", text))
    assert [float(change) for change in changes] == pytest.approx(gains.tolist(), abs=0.0011)


def test_bengali_is_drawn_and_never_left_to_the_fonts_of_the_machine(page: Path) -> None:
    found = Page(page)
    assert not BENGALI.search("".join(found.text))
    drawn = found.drawn_texts()
    assert len(drawn) > 50
    assert all(BENGALI.search(attributes["aria-label"] or "") for attributes in drawn)


def write_hostile(project: Project, path: Path) -> None:
    """Write the page of two runs in which everything that a person names is hostile."""
    with contextlib.chdir(project.folder):
        run = read_run_data("small", None, ())
        assert run.images is not None
        texts = {name: [f"{HOSTILE}{label}" for label in range(len(known))] for name, known in run.texts.items()}
        tables = find_mistakes(run.whole, [fold.graphemes for fold in run.folds], texts)
        images = replace(run.images, graphemes=dict.fromkeys(run.images.graphemes, HOSTILE))
        run = replace(run, name=HOSTILE, texts=texts, tables=tables, images=images, versions={HOSTILE: HOSTILE})
        report = make_report([run, run])
    config = Config(config=HOSTILE, data=DataConfig(root=HOSTILE), model=ModelConfig(backbone=HOSTILE))
    runs = [replace(run, config=config, activations_note=HOSTILE, pictures_note=HOSTILE) for run in report.runs]
    settings = [Setting(HOSTILE, [HOSTILE, [HOSTILE]], "")]
    write_report(replace(report, runs=runs, settings=settings), draw_outline, path)


def test_a_hostile_name_stays_text(project: Project, tmp_path: Path) -> None:
    write_hostile(project, tmp_path / "names.html")
    found = Page(tmp_path / "names.html")
    assert not found.all("script")
    assert all((image["src"] or "").startswith("data:image/") for image in found.all("img"))
    assert "".join(found.text).count("alert(") > 50


def test_without_its_data_folder_a_run_has_a_page_without_pictures(project: Project) -> None:
    assert "input/gone is not here" in project.call("report", "run=wider", "data.root=input/gone").stdout
    found = Page(project.folder / "runs/wider/report.html")
    assert "input/gone is not here" in "".join(found.text)
    assert not found.all("img")
    assert len(found.drawn_texts()) > 50


def test_a_data_folder_without_the_runs_images_is_refused(competition: Path, refused: Refused) -> None:
    ids = np.array(["Train_0", "Train_99"])
    refused(["train.csv lacks 1", "Train_99", "data.root="], open_images, DataConfig(root=str(competition)), ids)


def test_where_torchcam_is_missing_the_page_says_what_to_type(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchcam", None)
    assert "'.[report]'" in project.call("report", "run=wider").stdout
    found = Page(project.folder / "runs/wider/report.html")
    assert "where the network looks needs torchcam" in "".join(found.text)
    assert found.all("img")


def test_what_people_mistype_is_told(project: Project) -> None:
    for arguments, words in (
        ((), "report needs run=<run>"),
        (("runs=[small,wider,small]",), "runs=[<run>,<another>]"),
        (("run=smok",), "runs/smok has no finished fold"),
        (("run=small", "fold=3"), "fold 3 of run small is not finished"),
        (("run=small@tta4",), "the views are balanced"),
        (("run=small@tta3",), "oof-tta3.parquet: not there"),
    ):
        assert words in project.call("report", *arguments, status=2).stderr


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
    letters = "[...document.querySelectorAll('svg.text')].map(svg => svg.getBBox().width)"
    assert min(browser.execute_script(f"return {letters}")) > 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('.box')].filter(box => box.scrollWidth > box.clientWidth + 1)"
    assert browser.execute_script(f"return {wide}.map(box => box.innerText.slice(0, 60))") == []
    page_colour, text_colour = browser.execute_script(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    assert (brightness(page_colour) > 200) == (brightness(text_colour) < 60) == (scheme == "light")


def brightness(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


@pytest.mark.slow
def test_a_hostile_page_runs_nothing(browser: Any, project: Project, tmp_path: Path) -> None:
    write_hostile(project, tmp_path / "names.html")
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
