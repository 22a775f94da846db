"""A command in the sandbox: its memory is measured and limited, its network is cut, and it ends with its parent."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import is_alive, wait_until

import okkhor
from okkhor.kaggle.sandbox import Measurement, can_cut_network, run_in_sandbox
from okkhor.processes import bound_to_this_process

GB = 10**9


def run_python(code: str, tmp_path: Path, limit: int = 16 * GB) -> tuple[Measurement, str]:
    log = tmp_path / "log"
    return run_in_sandbox([sys.executable, "-c", code], os.environ, limit, log), log.read_text()


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
    assert stopped.peak_bytes > 0.8 * GB
    assert stopped.status == -signal.SIGKILL


@pytest.mark.skipif(not can_cut_network(), reason="this system makes no network namespaces")
def test_the_network_is_cut(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        found, output = run_python(connect, tmp_path)
    assert found.status == 1
    assert "OSError" in output or "Refused" in output


SANDBOX = """
import os, sys
from pathlib import Path
from okkhor.kaggle.sandbox import run_in_sandbox
command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
run_in_sandbox(command, os.environ, 16 * 10**9, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_in_the_sandbox_ends_with_the_process_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    log, source = tmp_path / "log", str(Path(okkhor.__file__).parents[1])
    command = [sys.executable, "-c", SANDBOX, str(log)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}) as parent:
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
        child = int(log.read_text())
        assert is_alive(child)
        parent.send_signal(number)
    wait_until(lambda: not is_alive(child))


def test_what_was_started_by_a_process_that_has_ended_already_does_not_begin() -> None:
    command = bound_to_this_process([sys.executable, "-c", "print('begun')"])
    assert subprocess.run(command, capture_output=True, text=True).stdout == "begun\n"
    command[command.index(str(os.getpid()))] = "1"
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""
