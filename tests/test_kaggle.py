"""The pieces of a package for Kaggle: names, metadata, the kernel's code, a process that is kept within bounds."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import okkhor
from okkhor.kaggle.confinement import Measurement, can_cut_network, run_confined
from okkhor.kaggle.kernel_code import describe_dataset, describe_kernel, make_notebook, make_script, make_slug
from okkhor.kaggle.rehearsal import extrapolate, judge
from okkhor.processes import bound_to_this_process

GB = 10**9


@pytest.mark.parametrize("name", ["sample", "smoke@tta3", "A_b.C-" + "9" * 90, "অক্ষর", "---"])
def test_a_slug_is_what_kaggle_makes_of_the_title(name: str) -> None:
    slug = make_slug(name)
    dataset, kernel = describe_dataset("me", slug), describe_kernel("me", slug, "predict.ipynb")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    for metadata in (dataset, kernel):
        assert metadata["id"] == f"me/{slug}"
        assert re.sub("[^a-z0-9]+", "-", metadata["title"].lower()) == slug
        assert 6 <= len(metadata["title"]) <= 50
    assert kernel["dataset_sources"] == [dataset["id"]]
    assert kernel["enable_internet"] is False


def test_without_a_name_on_kaggle_the_metadata_say_where_to_put_it() -> None:
    assert describe_dataset("", "okkhor-a")["id"] == "INSERT_USER_HERE/okkhor-a"


def test_the_notebook_is_valid_and_has_the_script_s_code() -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = make_notebook("sample")
    nbformat.validate(notebook)
    (code,) = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    module = ast.parse(make_script("sample"))
    assert ast.dump(ast.Module(module.body[1:], [])) == ast.dump(ast.Module(ast.parse(code).body, []))


def test_the_forecast_is_the_straight_line_through_both_runs() -> None:
    line = np.polyfit([2500, 20_000], [12.0, 47.0], 1)
    assert extrapolate((2500, 12.0), (20_000, 47.0), 211_042) == pytest.approx(np.polyval(line, 211_042))


def test_noise_can_not_make_more_images_cheaper() -> None:
    assert extrapolate((2500, 12.0), (20_000, 11.0), 211_042) == 12.0
    assert extrapolate((2500, 12.0), (20_000, 11.0), 21_000, least=0.5) == 512.0


def test_a_verdict_names_the_margin() -> None:
    assert judge("Memory", 3.04, 16, "GB").text == "Memory: pass, 13.0 GB left of 16 GB."
    assert not judge("Time", 9.5, 9, "h").passed
    assert "fail, 0.5 h too much of 9 h" in judge("Time", 9.5, 9, "h").text


def run_python(code: str, tmp_path: Path, limit: int = 16 * GB) -> tuple[Measurement, str]:
    log = tmp_path / "log"
    return run_confined([sys.executable, "-c", code], os.environ, limit, log), log.read_text()


HOLD = "import numpy, time; a = numpy.ones({}); time.sleep(0.5)"


def test_the_peak_is_what_a_process_held(tmp_path: Path) -> None:
    before, _ = run_python(HOLD.format(1), tmp_path)
    found, _ = run_python(HOLD.format(25_000_000), tmp_path)
    assert found.status == 0
    assert found.peak_bytes - before.peak_bytes == pytest.approx(0.2 * GB, rel=0.1)


def test_the_peak_counts_a_process_s_children(tmp_path: Path) -> None:
    alone, _ = run_python(HOLD.format(25_000_000), tmp_path)
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD.format(25_000_000)!r}])"
    found, _ = run_python(child, tmp_path)
    assert alone.peak_bytes < found.peak_bytes < alone.peak_bytes + 0.1 * GB


def test_memory_beyond_the_limit_is_refused_in_one_piece_and_stopped_in_many(tmp_path: Path) -> None:
    refused, output = run_python("import numpy; numpy.ones(10**9)", tmp_path, GB)
    assert refused.status != 0
    assert "Memory" in output
    assert refused.peak_bytes < GB
    many = f"import subprocess, sys\nc = [sys.executable, '-c', {HOLD.format(30_000_000)!r}]\n"
    many += "for p in [subprocess.Popen(c) for _ in range(4)]: p.wait()"
    stopped, _ = run_python(many, tmp_path, int(0.8 * GB))
    assert stopped.exceeded
    assert stopped.status < 0


@pytest.mark.skipif(not can_cut_network(), reason="this system makes no network namespaces")
def test_the_network_is_cut(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        found, output = run_python(connect, tmp_path)
    assert found.status == 1
    assert "OSError" in output or "Refused" in output


CONFINE = """
import os, sys
from pathlib import Path
from okkhor.kaggle.confinement import run_confined
command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
run_confined(command, os.environ, 16 * 10**9, Path(sys.argv[1]))
"""


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_confined_process_ends_with_the_one_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    log, source = tmp_path / "log", str(Path(okkhor.__file__).parents[1])
    command = [sys.executable, "-c", CONFINE, str(log)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}) as parent:
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
        confined = int(log.read_text())
        assert is_alive(confined)
        parent.send_signal(number)
    wait_until(lambda: not is_alive(confined))


def test_what_was_started_by_a_process_that_has_ended_already_does_not_begin() -> None:
    command = bound_to_this_process([sys.executable, "-c", "print('begun')"])
    assert subprocess.run(command, capture_output=True, text=True).stdout == "begun\n"
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""
