"""run.sh installs the packages and starts the commands: the real script, with a fake Python that logs its calls."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import PROJECT

PYTHON_NAMES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")

# FAKE_VERSION: the version that it tells; FAKE_VENV, FAKE_PIP: what venv and pip do.
FAKE_PYTHON = r"""#!/usr/bin/env bash
printf '<%s>' "$@" >>"$FAKE_LOG"
pip=$(env | sort | grep '^PIP_' | tr '\n' ' ')
printf ' in %s, process %s, PIP=%s, PYTHONPATH=%s\n' "$PWD" "$$" "$pip" "${PYTHONPATH:-}" >>"$FAKE_LOG"
case "$1 $2" in
    -V*) echo "Python $FAKE_VERSION.1" ;;
    -c*) exec "$REAL_PYTHON" -c "
import sys, importlib.util
sys.version_info = (*map(int, '$FAKE_VERSION'.split('.')), 1, 'final', 0)
importlib.util.find_spec = lambda name: None if '$FAKE_VENV' == 'missing' else name
$2" ;;
    "-m venv")
        [[ $FAKE_VENV == fails ]] && { echo "Error: No space left on device"; exit 1; }
        rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip")
        [[ $FAKE_PIP == slow ]] && sleep 1
        [[ $FAKE_PIP == stuck ]] && sleep 60
        [[ $FAKE_PIP == fails ]] && { echo "ERROR: Could not find a version of torch"; exit 1; }
        true ;;
    *) exit "${FAKE_STATUS:-0}" ;;
esac
"""


class Project:
    """A copy of the project's set-up files in `root`, and fake programs for its run.sh."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the project"
        self.root.mkdir()
        for name in ("run.sh", "pyproject.toml", "requirements.lock"):
            shutil.copy(PROJECT / name, self.root)
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in PYTHON_NAMES:
            (self.programs / name).write_text(FAKE_PYTHON)
            (self.programs / name).chmod(0o755)
        self.log = folder / "log"
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "FAKE_LOG": str(self.log),
            "FAKE_VERSION": "3.12",
            "FAKE_VENV": "works",
            "FAKE_PIP": "works",
            "REAL_PYTHON": sys.executable,
        }

    def start(self, *arguments: str, folder: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "run.sh", *arguments],
            cwd=folder or self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
        )

    def run(self, *arguments: str, folder: Path | None = None, **environment: str) -> tuple[int, str]:
        """Run ./run.sh to its end and return its exit status and its stderr."""
        self.log.write_text("")
        process = self.start(*arguments, folder=folder, **environment)
        _, stderr = process.communicate(timeout=30)
        return process.returncode, stderr

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def installs(self) -> list[str]:
        return [call for call in self.calls if call.startswith("<-m><pip><install>")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def stuck(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A start in the middle of its installation."""
    project.log.write_text("")
    process = project.start(FAKE_PIP="stuck")
    deadline = time.monotonic() + 20
    while not project.installs and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_the_first_start_installs_the_lock_and_the_package_and_the_second_nothing(project: Project) -> None:
    status, stderr = project.run("train")
    assert status == 0
    assert len(stderr.splitlines()) == 1
    assert "Installing" in stderr
    assert "requirements.lock" in project.installs[0]
    assert "<--editable><.>" in project.installs[1]
    assert project.calls[-1].startswith("<-m><okkhor><train>")
    assert project.run() == (0, "")
    assert not project.installs


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_requirements_are_installed_into_the_same_environment(project: Project, name: str) -> None:
    project.run()
    with (project.root / name).open("a") as file:
        file.write("# changed\n")
    status, _ = project.run()
    assert status == 0
    assert project.installs
    assert not any("<venv>" in call for call in project.calls)
    project.run()
    assert not project.installs


@pytest.mark.parametrize("change", ["another Python", "a moved project", "a Python that is gone"])
def test_an_environment_that_no_longer_fits_is_made_again(project: Project, change: str) -> None:
    project.run()
    if change == "a moved project":
        project.root = project.root.rename(project.root.with_name("moved"))
    if change == "a Python that is gone":
        (project.root / ".venv/bin/python").unlink()
    status, _ = project.run(FAKE_VERSION="3.13" if change == "another Python" else "3.12")
    assert status == 0
    assert any("<venv>" in call for call in project.calls)


def test_a_failed_installation_ends_with_status_2_and_is_begun_again(project: Project) -> None:
    status, stderr = project.run(FAKE_PIP="fails")
    assert status == 2
    assert "ERROR: Could not find a version of torch" in stderr
    assert "install.log" in stderr
    assert "start again" in stderr
    assert not any("<-m><okkhor>" in call for call in project.calls)
    project.run()
    assert any("<venv>" in call for call in project.calls)
    assert len(project.installs) == 2


def test_a_failed_update_is_not_taken_for_the_environment_before_it(project: Project) -> None:
    project.run()
    lock = (project.root / "requirements.lock").read_text()
    (project.root / "requirements.lock").write_text(lock + "# changed\n")
    project.run(FAKE_PIP="fails")
    (project.root / "requirements.lock").write_text(lock)
    project.run()
    assert any("<venv>" in call for call in project.calls)


def test_a_killed_installation_is_begun_again(project: Project, stuck: subprocess.Popen[str]) -> None:
    os.killpg(stuck.pid, signal.SIGKILL)
    stuck.wait()
    status, _ = project.run()
    assert status == 0
    assert any("<venv>" in call for call in project.calls)


def test_ctrl_c_during_the_installation_ends_with_status_130(stuck: subprocess.Popen[str]) -> None:
    os.killpg(stuck.pid, signal.SIGINT)
    _, stderr = stuck.communicate(timeout=20)
    assert stuck.returncode == 130
    assert "Interrupted" in stderr


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock run.sh has no lock")
def test_two_first_starts_at_once_install_once(project: Project) -> None:
    processes = [project.start(FAKE_PIP="slow") for _ in range(2)]
    stderrs = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(project.installs) == 2  # the lock, then the package
    assert sum("Waiting" in stderr for stderr in stderrs) == 1
    assert sum("<-m><okkhor>" in call for call in project.calls) == 2


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FAKE_VERSION": "3.10"}, ["3.11", "3.10"]),
        ({"FAKE_VERSION": "3.15"}, ["3.11", "3.15"]),
        ({"FAKE_VENV": "missing"}, ["apt install python3.12-venv"]),
        ({"FAKE_VENV": "fails"}, ["No space left on device"]),
        ({"OKKHOR_PYTHON": "/nowhere/python"}, ["OKKHOR_PYTHON=/nowhere/python"]),
    ],
)
def test_without_a_suitable_python_the_start_ends_with_status_2_and_the_reason(
    project: Project, environment: dict[str, Any], words: list[str]
) -> None:
    status, stderr = project.run(**environment)
    assert status == 2
    assert all(word in stderr for word in words), stderr
    assert not (project.root / ".venv/installed").exists()


def test_a_suitable_python_is_found_behind_an_old_one(project: Project) -> None:
    (project.programs / "python3").write_text(FAKE_PYTHON.replace("$FAKE_VERSION", "3.9"))
    for name in ("python3.11", "python3.12", "python3.14"):  # pyenv's shim for a Python that is not chosen
        (project.programs / name).write_text("#!/bin/sh\nexit 127\n")
    status, _ = project.run(FAKE_VERSION="3.13")
    assert status == 0
    assert "Python 3.13" in (project.root / ".venv/installed").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_ends_with_status_2(project: Project) -> None:
    project.root.chmod(0o555)
    status, stderr = project.run()
    project.root.chmod(0o755)
    assert status == 2
    assert str(project.root) in stderr


def test_okkhor_python_is_used_without_an_environment_with_the_package_from_src(project: Project) -> None:
    python = str(project.programs / "python3")
    assert project.run("train", OKKHOR_PYTHON=python, PYTHONPATH="/other") == (0, "")
    assert len(project.calls) == 1
    assert project.calls[0].endswith(f"PYTHONPATH={project.root}/src:/other")
    assert project.run(folder=project.programs, OKKHOR_PYTHON="./python3")[0] == 0  # from the folder of the user
    assert not (project.root / ".venv").exists()


def test_a_colon_in_the_projects_path_does_not_part_it(project: Project) -> None:
    """Issue 25, item 1 (d): OKKHOR_PYTHON then ran another checkout's code."""
    root = project.root.rename(project.root.with_name("a:b"))
    (root / "src/okkhor").mkdir(parents=True)
    (root / "src/okkhor/__main__.py").write_text("print(__file__)")
    (root / "src/okkhor/__init__.py").touch()
    environment = project.environment | {"OKKHOR_PYTHON": sys.executable, "PYTHONPATH": "/other"}
    found = subprocess.run([root / "run.sh"], cwd="/", env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{root}/src/okkhor/__main__.py"


def test_a_persons_settings_of_pip_move_nothing_out_of_the_environment(project: Project) -> None:
    """PIP_USER, PIP_TARGET, PIP_PREFIX, PIP_DRY_RUN: the installation died and blamed the network. A proxy stays."""
    places = {
        "PIP_TARGET": "/x",
        "PIP_PREFIX": "/x",
        "PIP_ROOT": "/x",
        "PIP_CONSTRAINT": "/x",
        "PIP_REQUIRE_HASHES": "1",
    }
    status, stderr = project.run(PIP_USER="1", PIP_DRY_RUN="1", PIP_PROXY="http://proxy", **places)  # type: ignore[arg-type]
    assert status == 0, stderr
    for call in project.installs:
        assert "PIP=PIP_DRY_RUN=0 PIP_PROXY=http://proxy PIP_USER=0 ," in call


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--posix"], ["env", "POSIXLY_CORRECT=1", "sh"], ["bash"]])
def test_run_sh_works_from_any_shell(project: Project, shell: list[str]) -> None:
    """`sh run.sh`: dash knows no pipefail."""
    command, environment = [*shell, "run.sh", "train", "a=two  words"], project.environment | {"FAKE_PIP": "works"}
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert project.calls[-1].startswith("<-m><okkhor><train><a=two  words>")


def test_a_clone_with_windows_line_ends_keeps_ours(tmp_path: Path) -> None:
    """core.autocrlf=true made `#!/usr/bin/env bash\\r` of the first line."""
    source, clone = tmp_path / "source", tmp_path / "clone"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=true"]
    subprocess.run([*git, "init", "-q", str(source)], check=True)
    for name in (".gitattributes", "run.sh"):
        shutil.copy(PROJECT / name, source)
    for words in ("-C source add .", "-C source commit -qm a", "clone -q source clone"):
        subprocess.run([*git, *words.split()], cwd=tmp_path, check=True)
    assert b"\r" not in (clone / "run.sh").read_bytes()


def test_run_sh_starts_from_any_folder_and_by_a_link_and_runs_in_the_project(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert project.run(folder=elsewhere)[0] == 0
    assert f" in {project.root}," in project.calls[-1]
    script = project.root / "run.sh"
    link = elsewhere / "okkhor"
    link.symlink_to(script)
    subprocess.run([link], env=project.environment | {"CDPATH": str(tmp_path)}, cwd=elsewhere, check=True)
    assert f" in {project.root}," in project.calls[-1]


def test_arguments_pass_through_unharmed(project: Project) -> None:
    project.run("train", "run=two  words", "", "fold=[0,2]", "name=*", "a=$HOME\\n'\"")
    assert project.calls[-1].startswith("<-m><okkhor><train><run=two  words><><fold=[0,2]><name=*><a=$HOME\\n'\">")


def test_test_and_test_all_run_pytest_with_the_arguments_after_them(project: Project) -> None:
    project.run("test")
    assert project.calls[-1].startswith("<-m><pytest> ")
    project.run("test", "tests/test_x.py", "-k", "two words")
    assert project.calls[-1].startswith("<-m><pytest><tests/test_x.py><-k><two words> ")
    project.run("test", "all", "-x")
    assert project.calls[-1].startswith("<-m><pytest><-m><><-x> ")


def test_the_final_process_takes_the_place_of_the_shell_and_gives_the_exit_status(project: Project) -> None:
    process = project.start(FAKE_STATUS="7")
    process.communicate(timeout=30)
    assert process.returncode == 7
    assert f"process {process.pid}," in project.calls[-1]
