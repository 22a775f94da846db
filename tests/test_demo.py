"""./run.sh demo: a page of this machine alone, drawn on in a real browser."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from helpers import PROJECT, Refused
from PIL import Image

import okkhor
from okkhor.commands import demo
from okkhor.errors import InputError

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
application = pytest.importorskip("okkhor.demo.application")


def answer(png: bytes) -> Mapping[str, object]:
    """A network's stand-in."""
    if png == b"blank":
        raise InputError("no ink")
    return {"bytes": len(png)}


@pytest.fixture
def port() -> Iterator[int]:
    """The port of the application, which runs in a thread of the tests."""
    server = uvicorn.Server(uvicorn.Config(application.make_application(answer), log_level="warning"))
    with demo.listen(application.HOST, 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Return the status and the answer, decoded if it is JSON. headers: their names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(content) if is_json else content.decode()


def test_a_drawing_is_answered_and_what_is_wrong_with_one_is_told(port: int) -> None:
    assert ask(port, "POST", "/read", b"12345", Content_Type="image/png") == (200, {"bytes": 5})
    time.sleep(0.3)
    assert ask(port, "POST", "/read", b"blank", Content_Type="image/png") == (422, {"error": "no ink"})


def test_drawings_that_are_too_large_or_too_many_are_refused(port: int) -> None:
    status, told = ask(port, "POST", "/read", bytes(600_000), Content_Type="image/png")
    assert status == 413
    assert "500,000 bytes" in told["error"]
    statuses = [ask(port, "POST", "/read", b"1", Content_Type="image/png")[0] for _ in range(6)]
    assert statuses.count(429) >= 4
    time.sleep(0.3)
    assert ask(port, "POST", "/read", b"1", Content_Type="image/png")[0] == 200


def test_pages_of_other_hosts_cannot_use_it(port: int) -> None:
    for host in ("okkhor.example", f"okkhor.example:{port}", "0.0.0.0"):
        assert ask(port, "GET", "/", Host=host)[0] == 400
        assert ask(port, "POST", "/read", b"1", Host=host, Content_Type="image/png")[0] == 400
    assert ask(port, "POST", "/read", b"1", Content_Type="text/plain")[0] == 415  # what a form may send
    assert ask(port, "OPTIONS", "/read", Origin="http://okkhor.example")[0] == 405  # no permission for image/png
    assert ask(port, "GET", "/", Host=f"localhost:{port}")[0] == 200


def test_nothing_but_the_page_is_served(port: int) -> None:
    page = ask(port, "GET", "/")[1]
    for name in re.findall(r'(?:src|href)="([^":]+)"', page):
        assert ask(port, "GET", f"/{name}")[0] == 200
    served = page + ask(port, "GET", "/demo.js")[1] + ask(port, "GET", "/demo.css")[1]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", served)
    for path in ("/../application.py", "/%2e%2e/application.py", "/application.py", "/etc/passwd"):
        assert ask(port, "GET", path)[0] == 404


def test_a_taken_port_is_told(port: int, refused: Refused) -> None:
    refused([f"demo.port={port}", "use", "0 for any"], demo.listen, "127.0.0.1", port)


@contextmanager
def start(run: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Start ./run.sh demo; give the page's address and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "okkhor", "demo", f"run={run}", "demo.port=0"],
        env=os.environ | {"PYTHONPATH": str(PROJECT / "src")},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        yield found[0], process
    finally:
        process.kill()
        process.communicate()


def draw(browser: Any, strokes: list[list[tuple[int, int]]], kind: str = "mouse") -> None:
    """strokes: points, in pixels from the middle of the sheet."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    sheet = browser.find_element("id", "paper")
    for stroke in strokes:
        actions = ActionChains(browser, duration=20, devices=[PointerInput(kind, kind)])
        pointer = actions.w3c_actions.pointer_action
        for number, (right, down) in enumerate(stroke):
            pointer.move_to(sheet, right, down)
            if number == 0:
                pointer.pointer_down()
        pointer.pointer_up()
        actions.perform()


def wait_for(browser: Any, script: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda browser: browser.execute_script(f"return {script}"))


def wait_for_text(browser: Any) -> str:
    """The text that is read of the present sheet."""
    wait_for(browser, "document.querySelector('.answer')?.dataset.sheet === `${sheet}`")
    return str(browser.execute_script("return document.querySelector('.answer').dataset.text"))


KA = [[(-140, -80), (140, -80)], [(0, -80), (0, 120)], [(0, -40), (-100, 30), (0, 80)], [(0, -30), (90, -20), (70, 50)]]


@pytest.mark.slow
def test_what_is_drawn_is_read_as_okkhor_read_does(untrained_run: str, browser: Any) -> None:
    with start(untrained_run) as (address, process):
        browser.get_log("performance")  # what came before
        browser.get(address)
        draw(browser, KA[:2])
        first = wait_for_text(browser)
        draw(browser, KA[2:], "touch")
        last = wait_for_text(browser)
        png = browser.execute_script("return paper.toDataURL()").partition(",")[2]
        reading = okkhor.read(Image.open(BytesIO(b64decode(png))), run=untrained_run)
        assert last == reading.text
        labels = browser.execute_script("return [...document.querySelectorAll('.guess svg')].map(e => e.ariaLabel)")
        assert labels == [guess.text for guess in reading.guesses]
        widths = "[...document.querySelectorAll('.guess path')].map(e => e.getBBox().width)"
        assert min(browser.execute_script(f"return {widths}")) > 100  # outlines, not text that needs a font
        undo, clear = (browser.find_element("id", name) for name in ("undo", "clear"))
        for _ in KA[2:]:
            undo.click()
        assert wait_for_text(browser) == first
        clear.click()
        assert "mouse" in wait_for(browser, "document.getElementById('message')?.textContent")
        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert len(urls) >= 5
        assert all(url.startswith((address, "data:")) for url in urls)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
