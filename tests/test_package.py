"""package, rehearse: what is packed predicts as the pipeline does, with no more than Kaggle's image has."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import NUM_TRAIN, PROJECT, TRIPLES, Project, make_predictions
from numpy.typing import NDArray

from okkhor.commands import rehearse
from okkhor.config import Config, DataConfig, DecodeConfig, ModelConfig
from okkhor.data import competition as data
from okkhor.kaggle.confinement import Measurement
from okkhor.kaggle.plan import KernelPlan, read_plan, write_plan
from okkhor.label_triples import count_graphemes, write_graphemes
from okkhor.models.network import create_network
from okkhor.models.weights import save_weights
from okkhor.pipeline.run import write_config
from okkhor.predictions import Predictions, write_predictions
from okkhor.schema import HEADS, SUBMISSION_ORDER
from okkhor.scoring.choosing import Candidates, OutOfFold
from okkhor.scoring.decoding import apply_rule, decode
from okkhor.scoring.member_weights import Combination, fit_stacking

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
    assert [path.name for path in (project.folder / "dist").iterdir() if path.name.startswith(".")] == [".lock"]
    assert not list(PROJECT.glob("build*"))


# Files of so few images are read in groups of rows that grow with them, and so would the forecast of memory.
LENIENT = ("rehearse.num_images=4000", "rehearse.memory_gb=60")


@pytest.mark.slow
def test_a_rehearsal_compares_with_the_pipeline_and_forecasts(
    project: Project, competition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearse, "NUM_SHARDS", 2)  # each has 32,332 columns, however few its images
    (tmp_path / "test_image_data_0.parquet").symlink_to(competition / "test_image_data_0.parquet")
    test = pd.read_csv(competition / "test.csv")
    test[test["image_id"].isin(["Test_0", "Test_1"])].to_csv(tmp_path / "test.csv", index=False)
    project.call("package", "run=one")
    before = (project.folder / "submissions/one.csv").stat().st_mtime_ns
    output = project.call("rehearse", "run=one", f"data.root={tmp_path}", *LENIENT).stdout
    assert "Submission: byte for byte that of the pipeline's own predict." in output
    assert "of 12,000 labels, 0 are not those of the plain files" in output
    assert re.search(r"^ +211,042 +[\d.]+ +[\d.]+ GB, extrapolated$", output, re.MULTILINE)
    assert "Memory: pass" in output
    assert "dist/one would pass." in output
    assert (project.folder / "submissions/one.csv").stat().st_mtime_ns == before
    assert not list((project.folder / "dist").glob(".rehearsal*"))


def test_too_little_memory_fails_the_rehearsal(project: Project) -> None:
    error = project.call("rehearse", "run=both", "rehearse.memory_gb=0.2", status=2).stderr
    assert "dist/both: " in error
    assert "0.2 GB" in error
    assert len(error.splitlines()) <= 2


GB = 10**9
Kernel = Callable[[pd.DataFrame], pd.DataFrame]


def rehearse_with(
    project: Project, monkeypatch: pytest.MonkeyPatch, kernel: Kernel, growth: int = 1000, own: bytes = b""
) -> str:
    """Rehearse without the seconds that it takes: kernel(test.csv) gives a submission's rows, image by image.

    growth: bytes for each image. own: the pipeline's submission; default: that of the kernel.
    """

    def run(_package: Path, root: Path, _config: object, folder: Path, num_images: int) -> Measurement:
        (folder / "working").mkdir(parents=True)
        kernel(pd.read_csv(root / "test.csv")).to_csv(folder / "working/submission.csv", index=False)
        return Measurement(10 + 1e-3 * num_images, 10, GB + growth * num_images, 0, False)

    def predict(_plan: object, root: Path, _folder: Path) -> bytes:
        return own or kernel(pd.read_csv(root / "test.csv")).to_csv(index=False).encode()

    def write(test: data.TestSet, copies: int, _shards: int, folder: Path) -> NDArray[np.str_]:
        image_ids = np.concatenate([shard.image_ids for shard in test.shards])
        names = [f"Test_{number}" for number in range(copies * len(image_ids))]
        folder.mkdir(parents=True)
        rows = pd.DataFrame([(f"{name}_{head}", name, head) for name in names for head in SUBMISSION_ORDER])
        rows.set_axis(["row_id", "image_id", "component"], axis=1).to_csv(folder / "test.csv", index=False)
        return image_ids

    for name, replacement in (("run_kernel", run), ("predict_by_pipeline", predict), ("write_repeated", write)):
        monkeypatch.setattr(rehearse, name, replacement)
    done = project.call("rehearse", "run=both", "rehearse.num_images=4000", status=2)
    return done.stdout + done.stderr


def read_rightly(test: pd.DataFrame) -> pd.DataFrame:
    """The number of the image's copy of four, in the order of the test file."""
    return pd.DataFrame({"row_id": test["row_id"], "target": test["image_id"].str[5:].astype(int) % 4})


def test_a_rehearsal_fails_where_the_submission_is_not_the_pipelines(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "its submission is not the pipeline's" in rehearse_with(project, monkeypatch, read_rightly, own=b"row_id")


def test_a_rehearsal_fails_where_rows_come_in_another_order_with_more_images(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sort(test: pd.DataFrame) -> pd.DataFrame:
        if len(test) == 12:
            return read_rightly(test)
        return read_rightly(test.sort_values("image_id")).assign(row_id=test["row_id"])

    output = rehearse_with(project, monkeypatch, sort)
    assert "it reads the same images otherwise in the repeated files" in output
    assert "byte for byte" in output


def test_a_rehearsal_fails_where_memory_would_not_do_for_the_hidden_test(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = rehearse_with(project, monkeypatch, read_rightly, growth=100_000)  # 21.1 GB and 1 GB
    assert "would fail on Kaggle: Memory: fail, 6.1 GB too much of 16 GB." in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["package"], "package needs run=<run or ensemble>"),
        (["package", "run=nosuch"], "runs/nosuch has no finished fold"),
        (["package", "run=one@tta4"], "tta9"),
        (["package", "run=one@tta3"], "runs/one/fold0/oof-tta3.parquet: not there"),
        (["rehearse"], "rehearse needs run=<run or ensemble>"),
        (["rehearse", "run=other"], "First: ./run.sh package run=other"),
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
