"""Fixtures that several test files use. helpers.py has the functions."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from helpers import PROJECT, SMALL, Damage, Refused, write_competition, write_schema, write_shard

from okkhor import settings
from okkhor.config import DataConfig
from okkhor.data.cache import build_cache
from okkhor.data.competition import TestSet, TrainSet, read_test_set, read_train_set
from okkhor.errors import InputError
from okkhor.models.network import create_network
from okkhor.models.weights import save_weights
from okkhor.pipeline.run import fold_folder, write_config

os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start: threads of small networks wait for each other
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts a background job with Ctrl-C ignored


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # before fixtures that train


@pytest.fixture(autouse=True)
def _fixed_seed_on_one_thread() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    torch.set_num_threads(1)  # a command in this process may have set another number


@pytest.fixture(scope="session")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small folder of helpers.py. All tests share it: to change a file, use `damaged`."""
    root = tmp_path_factory.mktemp("input") / "small"
    root.mkdir()
    write_competition(root)
    return root


@pytest.fixture(scope="session")
def train_set(competition: Path) -> TrainSet:
    return read_train_set(competition)


@pytest.fixture(scope="session")
def test_set(competition: Path) -> TestSet:
    test = read_test_set(competition)
    assert test is not None
    return test


@pytest.fixture(scope="session")
def small_cache(train_set: TrainSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images.npy of the train images, built from the shards."""
    folder = tmp_path_factory.mktemp("cache")
    return build_cache(train_set, DataConfig(root="input/small", size=SMALL, cache_dir=str(folder)))


@pytest.fixture
def damaged(competition: Path, tmp_path: Path) -> Damage:
    """damaged("train.csv", change): copy the small folder with this file changed; without `change`, removed.

    damaged("train_image_data_0.parquet", table=...): with this table as the file; with a schema, without rows.
    """

    def damage(
        name: str, change: Callable[[bytes], bytes] | None = None, *, table: pa.Table | pa.Schema | None = None
    ) -> Path:
        root = tmp_path / "small"
        if not root.exists():
            shutil.copytree(competition, root)
        path = root / name
        if isinstance(table, pa.Schema):
            write_schema(table, path)
        elif table is not None:
            write_shard(table, path)
        elif change is not None:
            before = path.read_bytes()
            after = change(before)
            assert after != before, f"the test changes nothing in {name}"
            path.write_bytes(after)
        else:
            path.unlink()
        return root

    return damage


@pytest.fixture
def untrained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a run of two small networks with random weights in a folder of its own, go there, return the run's name."""
    monkeypatch.setattr(settings, "PRESETS", PROJECT / "configs")
    monkeypatch.chdir(tmp_path)
    config = settings.load_config(["config=smoke", "train.device=cpu", "train.precision=float32", "run=untrained"])
    for fold in (0, 1):
        folder = fold_folder(config.run, fold)
        write_config(config, folder)
        save_weights(create_network(config.model, config.data.size), folder / "model.safetensors")
        (folder / "metrics.json").write_text("{}")
    return config.run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window. It logs each request and each message of the console."""
    webdriver = pytest.importorskip("selenium.webdriver")
    paths = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if None in paths:
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    switches = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for switch in f"{switches} disable-component-update disable-sync".split():
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """refused(words, function, *arguments): check that an InputError is short and has the words; return its message."""

    def check(words: Sequence[str], function: Callable[..., object], *arguments: object) -> str:
        with pytest.raises(InputError) as caught:
            function(*arguments)
        message = re.sub(f"{re.escape(str(tmp_path))}/?|/tmp/\\S*?/input\\d*/", "", str(caught.value))
        assert len(message.splitlines()) <= 2, message
        assert len(message) <= 300, f"{len(message)} characters: {message}"
        for word in words:
            assert word in message, f"{word!r} is not in: {message}"
        return message

    return check


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The stages of tests/faults/stages.py, each run once without a disturbance."""
    from stages import UndisturbedStages  # it starts processes: not where tests/faults is left out

    return UndisturbedStages(tmp_path_factory.mktemp("undisturbed"))
