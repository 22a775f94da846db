"""A run's folder: its settings can be loaded again, its folds count when they are finished."""

from pathlib import Path

import numpy
import pytest
import yaml
from helpers import Refused

from okkhor.config import Config, LossConfig
from okkhor.config_rendering import SampleConfig
from okkhor.pipeline.run import Run, write_config
from okkhor.settings import differing_settings, load_stored


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_settings_of_a_run_are_loaded_as_they_were(tmp_path: Path) -> None:
    config = Config(
        config="quick",
        fold=[0, 2],
        run="খসড়া",
        runs=("a", "b"),
        seed=7,
        sample=SampleConfig(font_dirs=("fonts/one",)),
        loss=LossConfig(head_weights=(1.0, 2.0, 3.0)),
    )
    write_config(config, tmp_path / "config.yaml")
    again = load_stored(tmp_path / "config.yaml")
    assert again == config
    assert differing_settings(config, again, ignored=()) == []


def test_the_versions_stand_beside_the_settings(tmp_path: Path) -> None:
    write_config(Config(), tmp_path / "config.yaml")
    environment = yaml.safe_load((tmp_path / "config.yaml").read_text())["environment"]
    assert environment["numpy"] == numpy.__version__
    assert {"okkhor", "torch", "timm", "commit"} <= set(environment)


def test_settings_given_anew_go_over_those_of_the_run(tmp_path: Path) -> None:
    write_config(Config(run="a", seed=7), tmp_path / "config.yaml")
    config = load_stored(tmp_path / "config.yaml", ["train.num_threads=1", "run=a"])
    assert (config.seed, config.train.num_threads, config.run) == (7, 1, "a")


def test_a_run_without_its_settings_is_refused(tmp_path: Path, refused: Refused) -> None:
    refused(["config.yaml"], load_stored, tmp_path / "config.yaml")


def test_a_fold_is_finished_when_its_metrics_are_written() -> None:
    for fold in (10, 2, 0):
        Run("a").fold(fold).mkdir(parents=True)
    for fold in (10, 2):
        (Run("a").fold(fold) / "metrics.json").touch()
    (Path("runs") / "a" / "fold_old").mkdir()
    (Path("runs") / "a" / "fold_old" / "metrics.json").touch()
    assert not Run("a").is_finished(0)
    assert Run("a").finished_folds() == [2, 10]


def test_a_run_without_a_finished_fold_is_refused_with_what_to_type(refused: Refused) -> None:
    Run("a").fold(0).mkdir(parents=True)
    refused(["run=a", "no finished fold", "./run.sh fold=0 run=a"], Run.open, "a")
    refused(["run=b", "no finished fold"], Run.open, "b")
