"""package, rehearse: what is packaged predicts as the pipeline does, with no more than Kaggle's image has."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from helpers import PROJECT, Project, make_run

from okkhor.config import DataConfig, ModelConfig
from okkhor.kaggle import rehearsal
from okkhor.kaggle.kernel import KernelMember, KernelPlan, write_plan
from okkhor.pipeline.decision import Decision

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
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, competition: Path) -> Project:
    """Two runs, and the plan of a package `planned`."""
    project = Project(tmp_path_factory.mktemp("package"))
    for seed, name in enumerate(("one", "other")):
        make_run(project.folder, name, DataConfig(root=str(competition), size=32, crop_to_ink=True), seed)
    member = KernelMember("planned", (), 1, 64, "float32", DataConfig(root=str(competition)), ModelConfig())
    write_plan(KernelPlan((member,), Decision(), ()), project.folder / "dist/planned/dataset/okkhor-plan.json")
    return project


@pytest.fixture(scope="module")
def packaged(project: Project) -> Project:
    """An ensemble of both runs as well, packaged."""
    for name in ("one", "other"):
        project.call("predict", f"run={name}")
    project.call(
        *("ensemble", "runs=[one,other]", "name=both", "ensemble.weights=greedy", "ensemble.mean=geometric"),
        "decode.rule=joint",
    )
    project.call("package", "run=both", "kaggle.user=someone")
    return project


@pytest.fixture(scope="module")
def block() -> str:
    """Code after which a process can import no more than Kaggle's image has."""
    requirements = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = {re.split("[<>=]", requirement)[0] for requirement in requirements}
    assert packages >= IN_KAGGLES_IMAGE
    lacking = {IMPORT_NAMES.get(name, name).replace("-", "_") for name in packages - IN_KAGGLES_IMAGE}
    return BLOCK.format(blocked=lacking)


def test_the_kernels_module_imports_with_what_kaggles_image_has(block: str) -> None:
    code = block + "import okkhor.kaggle.kernel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT / "src")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_kernel_predicts_as_the_pipeline_without_what_kaggles_image_lacks(
    packaged: Project, competition: Path, tmp_path: Path, block: str
) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "working").mkdir()
    (tmp_path / "input/bengaliai-cv19").symlink_to(competition)
    (tmp_path / "input/okkhor-both").symlink_to(packaged.folder / "dist/both/dataset")
    script = str(packaged.folder / "dist/both/kernel/predict.py")
    code = block + f"runpy.run_path({script!r})\nimport okkhor\nprint('from', okkhor.__file__)"
    environment = os.environ | {"OKKHOR_KAGGLE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"from .*/okkhor-[\d.]+-py3-none-any.whl/okkhor/__init__.py", done.stdout)
    own = packaged.folder / "submissions/both.csv"
    assert (tmp_path / "working/submission.csv").read_bytes() == own.read_bytes()


@pytest.mark.slow
def test_a_package_has_what_is_uploaded_and_nothing_half_written(packaged: Project) -> None:
    folder = packaged.folder / "dist/both"
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
    assert [path.name for path in (packaged.folder / "dist").iterdir() if path.name.startswith(".")] == [".lock"]
    assert not list(PROJECT.glob("build*"))


@pytest.mark.slow
def test_a_rehearsal_compares_with_the_pipeline_and_forecasts(
    packaged: Project, competition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "NUM_SHARDS", 2)  # each has 32,332 columns, however few its images
    (tmp_path / "test_image_data_0.parquet").symlink_to(competition / "test_image_data_0.parquet")
    test = pd.read_csv(competition / "test.csv")
    test[test["image_id"].isin(["Test_0", "Test_1"])].to_csv(tmp_path / "test.csv", index=False)
    packaged.call("package", "run=one")
    lenient = "rehearse.num_images=4000", "rehearse.memory_gb=60"  # small files have growing row groups
    before = (packaged.folder / "submissions/one.csv").stat().st_mtime_ns
    output = packaged.call("rehearse", "run=one", f"data.root={tmp_path}", *lenient).stdout
    assert "Submission: byte for byte that of the pipeline's own predict." in output
    assert "of 12,000 labels, 0 are not those of the plain files" in output
    assert re.search(r"^ +211,042 +[\d.]+ +[\d.]+ GB, extrapolated$", output, re.MULTILINE)
    assert "Memory: pass" in output
    assert "dist/one would pass." in output
    assert (packaged.folder / "submissions/one.csv").stat().st_mtime_ns == before
    assert not list((packaged.folder / "dist").glob(".rehearsal*"))


@pytest.mark.slow
def test_too_little_memory_fails_the_rehearsal(packaged: Project) -> None:
    error = packaged.call("rehearse", "run=both", "rehearse.memory_gb=0.2", status=2).stderr
    assert "dist/both: " in error
    assert "0.2 GB" in error
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["package"], "package needs run=<run or ensemble>"),
        (["package", "run=nosuch"], "runs/nosuch has no finished fold"),
        (["package", "run=one@tta4"], "tta9"),
        (["package", "run=one@tta3"], "runs/one/fold0/oof-tta3.parquet: not there"),
        (["rehearse"], "rehearse needs run=<run or ensemble>"),
        (["rehearse", "run=other"], "First: ./run.sh package run=other"),
        (["rehearse", "run=planned", "data.root=nowhere"], "no such folder"),
        (["rehearse", "run=planned", "rehearse.num_images=3"], "Set rehearse.num_images=4"),
        (["ensemble", "runs=[one]", "name=other"], "a run is called so"),
    ],
)
def test_what_is_missing_is_told_in_two_lines(project: Project, arguments: list[str], expected: str) -> None:
    error = project.call(*arguments, status=2).stderr
    assert expected in error
    assert len(error.splitlines()) <= 2
