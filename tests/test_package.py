"""package, rehearse: what is packed predicts as the pipeline does, with no more than Kaggle's image has."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import NUM_TRAIN, TRIPLES, make_predictions
from test_pipeline import PROJECT, Project

from okkhor.commands.kernel_plan import KernelPlan, read_plan, write_plan
from okkhor.config import Config, DataConfig, DecodeConfig, ModelConfig
from okkhor.models.network import create_network
from okkhor.models.weights import save_weights
from okkhor.predictions import Predictions, write_predictions
from okkhor.runs import write_config
from okkhor.schema import HEADS
from okkhor.scoring.choosing import Candidates, OutOfFold
from okkhor.scoring.combination import Combination
from okkhor.scoring.decoding import apply_rule, decode
from okkhor.scoring.stacking import fit_stacking
from okkhor.scoring.trained_graphemes import count_graphemes, write_graphemes

IN_KAGGLES_IMAGE = {
    *("numpy", "opencv-python-headless", "pandas", "pillow", "pyarrow", "PyYAML", "safetensors", "scikit-learn"),
    *("scipy", "timm", "torch", "torchvision", "tqdm", "filelock"),  # the last needs torch
}
IMPORT_NAMES = {"iterative-stratification": "iterstrat"}
BLOCK = """
import importlib.abc, runpy, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError("not in Kaggle's image: " + name)
sys.meta_path.insert(0, Block())
runpy.run_path({script!r})
import okkhor
print("from", okkhor.__file__)
"""


def make_run(project: Project, name: str, root: Path, num_folds: int = 2) -> None:
    """Finished folds of a network with random weights, and an out-of-fold table of random predictions."""
    model, data = ModelConfig(backbone="resnet10t"), DataConfig(root=str(root), size=32, crop_to_ink=True)
    for fold in range(num_folds):
        folder = project.folder / f"runs/{name}/fold{fold}"
        folder.mkdir(parents=True)
        write_config(Config(run=name, data=data, model=model, decode=DecodeConfig("prior")), folder)
        save_weights(create_network(model, 32), folder / "model.safetensors")
        ids = [f"Train_{number}" for number in range(fold, NUM_TRAIN, num_folds)]
        labels = {head.name: np.array([TRIPLES[int(i[6:]) % 6][k] for i in ids]) for k, head in enumerate(HEADS)}
        table = Predictions(np.array(ids), make_predictions(ids, seed=fold + len(name)).probabilities, labels)
        write_predictions(table, decode(table.probabilities), folder / "oof.parquet")
        write_graphemes(count_graphemes(labels), folder / "graphemes.csv")
        (folder / "metrics.json").write_text("{}")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, competition: Path) -> Project:
    """Two runs and an ensemble of both, packaged."""
    project = Project(tmp_path_factory.mktemp("package"))
    for name in ("one", "other"):
        make_run(project, name, competition)
        project.call("predict", f"run={name}")
    project.call(
        *("ensemble", "runs=[one,other]", "name=both", "ensemble.weights=greedy", "ensemble.mean=geometric"),
        "decode.rule=joint",
    )
    project.call("package", "run=both", "kaggle.user=someone")
    return project


def test_the_kernel_predicts_as_the_pipeline_without_what_kaggles_image_lacks(
    project: Project, competition: Path, tmp_path: Path
) -> None:
    requirements = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {re.split("[<>=]", requirement)[0] for requirement in requirements}
    assert packages >= IN_KAGGLES_IMAGE
    lacking = {IMPORT_NAMES.get(name, name).replace("-", "_") for name in packages - IN_KAGGLES_IMAGE}
    assert {"albumentations", "omegaconf", "iterstrat", "uharfbuzz"} <= lacking
    (tmp_path / "input").mkdir()
    (tmp_path / "working").mkdir()
    (tmp_path / "input/bengaliai-cv19").symlink_to(competition)
    (tmp_path / "input/okkhor-both").symlink_to(project.folder / "dist/both/dataset")
    code = BLOCK.format(blocked=lacking, script=str(project.folder / "dist/both/kernel/predict.py"))
    environment = os.environ | {"OKKHOR_KAGGLE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"from .*/okkhor-[\d.]+-py3-none-any.whl/okkhor/__init__.py", done.stdout)
    own = project.folder / "submissions/both.csv"
    assert (tmp_path / "working/submission.csv").read_bytes() == own.read_bytes()


def test_a_package_has_what_is_uploaded_and_nothing_half_written(project: Project) -> None:
    folder = project.folder / "dist/both"
    assert sorted(path.name for path in (folder / "kernel").iterdir()) == [
        *("kernel-metadata.json", "predict.ipynb", "predict.py")
    ]
    names = {path.name for path in (folder / "dataset").iterdir()}
    weights = {f"{run}-fold{fold}-model.safetensors" for run in ("one", "other") for fold in (0, 1)}
    (wheel,) = names - weights - {"dataset-metadata.json", "okkhor-plan.json"}
    assert wheel.endswith(".whl")
    assert json.loads((folder / "kernel/kernel-metadata.json").read_text())["dataset_sources"] == [
        "someone/okkhor-both"
    ]
    assert [path.name for path in (project.folder / "dist").iterdir() if path.name.startswith(".")] == []
    assert not list(PROJECT.glob("build*"))


def test_a_rehearsal_compares_with_the_pipeline_and_forecasts(project: Project) -> None:
    before = (project.folder / "submissions/both.csv").stat().st_mtime_ns
    output = project.call("rehearse", "run=both", "rehearse.num_images=16").stdout
    assert "Submission: byte for byte that of the pipeline's own predict." in output
    assert "of 48 labels, 0 are not those of the plain files" in output
    assert re.search(r"^ +211,042 +[\d.]+ +[\d.]+ GB, extrapolated$", output, re.MULTILINE)
    assert "Memory: pass" in output
    assert "dist/both would pass." in output
    assert (project.folder / "submissions/both.csv").stat().st_mtime_ns == before
    assert not list((project.folder / "dist").glob(".rehearsal*"))


def test_too_little_memory_fails_the_rehearsal(project: Project) -> None:
    error = project.call("rehearse", "run=both", "rehearse.memory_gb=0.2", status=2).stderr
    assert "dist/both: " in error
    assert "0.2 GB" in error
    assert len(error.splitlines()) <= 2


def test_a_retrained_run_is_no_longer_what_was_packaged(project: Project, competition: Path) -> None:
    make_run(project, "later", competition, num_folds=1)
    project.call("package", "run=later", "decode.rule=argmax")
    network = create_network(ModelConfig(backbone="resnet10t"), 32)
    for parameter in network.parameters():
        parameter.data.mul_(-1)
    save_weights(network, project.folder / "runs/later/fold0/model.safetensors")
    done = project.call("rehearse", "run=later", "rehearse.num_images=8", status=2)
    assert "its submission is not the pipeline's" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["package"], "package needs run=<run or ensemble>"),
        (["package", "run=nosuch"], "runs/nosuch has no finished fold"),
        (["package", "run=one@tta4"], "tta9"),
        (["package", "run=one@tta3"], "runs/one/fold0/oof-tta3.parquet: not there"),
        (["rehearse"], "rehearse needs run=<run or ensemble>"),
        (["rehearse", "run=one"], "First: ./run.sh package run=one"),
        (["rehearse", "run=both", "data.root=nowhere"], "no such folder"),
        (["rehearse", "run=both", "rehearse.num_images=3"], "set rehearse.num_images as high"),
        (["ensemble", "runs=[one]", "name=other"], "a run is called so"),
    ],
)
def test_what_is_missing_is_told_in_two_lines(project: Project, arguments: list[str], expected: str) -> None:
    error = project.call(*arguments, status=2).stderr
    assert expected in error
    assert len(error.splitlines()) <= 2


def test_a_plan_decides_after_reading_as_before_writing(tmp_path: Path) -> None:
    ids = [f"Train_{number}" for number in range(200)]
    members = [make_predictions(ids, seed=seed) for seed in (0, 1)]
    members[1] = Predictions(members[1].image_ids, members[1].probabilities, members[0].labels)
    labels = members[0].labels
    assert labels is not None
    rule = Candidates("joint", [OutOfFold(members[0], count_graphemes(labels))], "posterior").make_rule()
    for combination in (
        Combination("geometric", (0.3, 0.7)),
        Combination("rank"),
        Combination(stacking=fit_stacking(members, ["a", "b"])),
    ):
        write_plan(KernelPlan((), combination, rule, (("predict", "run=a"),)), tmp_path / "plan.json")
        plan = read_plan(tmp_path / "plan.json")
        one, other = (c.apply(members, ["a", "b"]) for c in (combination, plan.combination))
        for head in HEADS:
            np.testing.assert_array_equal(one.probabilities[head.name], other.probabilities[head.name])
        pd.testing.assert_frame_equal(*(pd.DataFrame(apply_rule(r, one)) for r in (rule, plan.rule)))
        assert plan.commands == (("predict", "run=a"),)
