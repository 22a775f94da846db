"""The whole way by ./run.sh with the smoke preset: render, train, score, predict, ensemble; and mistyped commands."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from helpers import Project, wait_until

from okkhor.config import ModelConfig
from okkhor.models.network import create_network
from okkhor.models.weights import load_weights
from okkhor.schema import HEADS
from okkhor.training.device import Precision
from okkhor.training.loop import infer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the smoke preset, trained on two of its five folds."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.call("fold=[0,1]", "config=smoke", "train.epochs=1")
    return project


def test_a_fold_leaves_every_file_that_people_rely_on(trained: Project) -> None:
    folder = trained.folder / "runs/smoke/fold0"
    names = {"config.yaml", "log.jsonl", "metrics.json", "model.safetensors", "oof.parquet", "test.parquet"}
    found = {path.name for path in folder.iterdir()}
    assert names <= found
    assert "state.pt" not in found  # of use until the fold is finished
    assert not list(trained.folder.rglob("*.tmp"))
    scores = json.loads((folder / "metrics.json").read_text())
    assert scores["score"] == pytest.approx(sum(head.score_weight * scores[head.name] for head in HEADS) / 4)
    submission, test = trained.read("submissions/smoke-fold0.csv"), trained.read("input/smoke/test.csv")
    assert list(submission.columns) == ["row_id", "target"]
    assert submission["row_id"].tolist() == test["row_id"].tolist()
    folds = trained.read("folds/smoke.csv").set_index("image_id")["fold"]
    for fold in (0, 1):  # each held-out image once
        table = pd.read_parquet(trained.folder / f"runs/smoke/fold{fold}/oof.parquet")
        assert sorted(table["image_id"]) == sorted(folds.index[folds == fold])


def test_a_finished_fold_is_kept_and_not_taken_for_one_of_other_settings(trained: Project) -> None:
    weights = trained.folder / "runs/smoke/fold0/model.safetensors"
    before = weights.stat().st_mtime_ns
    smoke = ("config=smoke", "train.epochs=1")
    told = trained.call("fold=0", *smoke).stdout
    assert "is finished and kept" in told
    assert "smoke, out of fold, 2 of 5 folds" in told
    assert told.splitlines()[-1].startswith("Next: ./run.sh score run=smoke")
    assert weights.stat().st_mtime_ns == before
    error = trained.call("fold=0", *smoke, "data.size=40", status=2).stderr
    assert "begun with other settings (data.size)" in error
    assert "run=<name>" in error
    error = trained.call("fold=3", *smoke, "data.crop_to_ink=false", status=2).stderr
    assert "runs/smoke/fold0 was begun with other settings (data.crop_to_ink)" in error
    assert not (trained.folder / "runs/smoke/fold3").exists()


def test_score_ensemble_and_predict_agree_with_each_other(trained: Project) -> None:
    joint = trained.read("submissions/smoke.csv")  # of both folds, which one command has trained
    scored = trained.call("score", "run=smoke").stdout
    assert [line.split()[0] for line in scored.splitlines()[2:5]] == ["fold", "fold", "all"]
    predicted = trained.call("predict", "run=smoke", "data.root=input/smoke").stdout
    assert "submissions/smoke.csv: 180 rows by 2 of 5 folds (0, 1), checked" in predicted
    assert "2 of 5 folds (0, 1); unfinished: 2 is" in scored
    assert trained.read("submissions/smoke.csv").equals(joint)
    trained.call("ensemble", "runs=[smoke]", "name=one")
    assert trained.read("submissions/smoke.csv").equals(trained.read("submissions/one.csv"))
    leaderboard = trained.call("score", "submission=submissions/one.csv", "data.root=input/smoke").stdout
    assert all(usage in leaderboard for usage in ("Public", "Private"))


def test_an_ensemble_can_be_submitted_for_another_folder(trained: Project) -> None:
    shutil.copytree(trained.folder / "input/smoke", trained.folder / "input/hidden")
    trained.call("predict", "run=smoke", "data.root=input/hidden")
    trained.call("ensemble", "runs=[smoke]", "name=hidden", "data.root=input/hidden")
    assert trained.read("submissions/smoke-hidden.csv").equals(trained.read("submissions/hidden.csv"))


def copy_scrambled(root: Path, to: Path) -> Path:
    """Copy a data folder with the test images' pixels in another order, under the same ids."""
    shutil.copytree(root, to)
    for path in to.glob("test_image_data_*.parquet"):
        table = pq.read_table(path, use_threads=False)
        mixed = table.take(np.roll(np.arange(len(table)), 1))
        pq.write_table(mixed.set_column(0, "image_id", table["image_id"]), path)
    return to


def test_a_table_of_another_folder_of_the_same_name_is_refused(trained: Project, tmp_path: Path) -> None:
    """Issue 25, item 1 (a), case 18: an ensemble took predictions of v1/data for those of v2/data."""
    one = shutil.copytree(trained.folder / "input/smoke", tmp_path / "v1/data")
    two = copy_scrambled(one, tmp_path / "v2/data")
    trained.call("predict", "run=smoke", f"data.root={one}")
    error = trained.call("ensemble", "runs=[smoke]", "name=mixed", f"data.root={two}", status=2).stderr
    assert "test-data.parquet: made from other test images" in error
    assert "./run.sh predict" in error
    trained.call("predict", "run=smoke", f"data.root={two}")
    trained.call("ensemble", "runs=[smoke]", "name=mixed", f"data.root={two}")
    assert trained.read("submissions/mixed.csv").equals(trained.read("submissions/smoke-data.csv"))


def test_a_run_goes_on_after_its_data_moved_and_its_folder_was_renamed(trained: Project, tmp_path: Path) -> None:
    """Issue 25, item 1 (b), case 15: both were refused as other settings; other images still are."""
    smoke = ("config=smoke", "train.epochs=1", "model.backbone=test_resnet")
    first, moved = tmp_path / "kag", tmp_path / "moved"
    shutil.copytree(trained.folder / "input/smoke", first)
    trained.call("fold=0", *smoke, "run=before", f"data.root={first}")
    first.rename(moved)
    (trained.folder / "runs/before").rename(trained.folder / "runs/after")
    trained.call("fold=1", *smoke, "run=after", f"data.root={moved}")
    trained.call("ensemble", "runs=[after]", "name=joined", f"data.root={moved}")
    with (moved / "train.csv").open("a") as file:
        file.write("\n")
    error = trained.call("fold=2", *smoke, "run=after", f"data.root={moved}", status=2).stderr
    assert "runs/after/fold0 was begun with other settings (data.root)" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fodl=0"], "Did you mean fold?"),
        (["fold=9"], "fold=9: expected a number from 0 to 4"),
        (["fold=x"], "fold=x: expected"),
        (["config=nosuch"], "Presets in configs/: bench, competition, degradation, sample, sample-long, smoke"),
        (["nosuchcommand"], "no command 'nosuchcommand'"),
        (["data.root=input/nosuch", "config=sample"], "data.root=input/nosuch: no such folder"),
        (["predict", "run=nosuch"], "runs/nosuch has no finished fold"),
        (["score"], "score needs run="),
        (["train.device=cuda:7", "config=smoke"], "train.device=cuda:7"),
    ],
)
def test_a_mistyped_command_is_told_in_two_lines_with_status_2(
    trained: Project, arguments: list[str], expected: str
) -> None:
    if arguments[0].startswith("train.device"):
        arguments = [*arguments, "run=elsewhere"]
    error = trained.call(*arguments, status=2).stderr
    assert expected in error
    assert len(error.strip().splitlines()) <= 2
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_saves_tells_how_to_resume_and_the_same_command_resumes(trained: Project, number: int) -> None:
    """SIGINT: Ctrl-C. SIGTERM: Slurm sends it. The loader's worker gets it too."""
    run = f"stopped-{number}"
    arguments = ["fold=2", "config=smoke", f"run={run}", "model.backbone=test_resnet", "data.num_workers=1"]
    log = trained.folder / f"runs/{run}/fold2/log.jsonl"
    process = trained.start(*arguments)
    wait_until(log.exists)
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert f"To resume: ./run.sh {' '.join(arguments)}" in error
    assert "Traceback" not in error
    assert f"runs/{run}/fold2/state.pt" in trained.call(*arguments).stdout
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2]


@pytest.mark.slow
def test_two_processes_predict_each_held_out_image_once_and_score_as_one_does(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a hostname that no DNS knows, where they waited for ever, and with variables left over from Slurm."""
    names = "lambda *_: 'no-dns-knows-this.invalid'"
    (tmp_path / "sitecustomize.py").write_text(f"import socket\nsocket.gethostname = socket.getfqdn = {names}\n")
    for name, value in {"PYTHONPATH": str(tmp_path), "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    settings = ("config=smoke", "train.epochs=1", "train.precision=float32")
    output = trained.run("fold=4", *settings, "run=two", "launch.processes=2").stdout
    assert output.count("out of fold, fold4") == 1
    folds = trained.read("folds/smoke.csv").set_index("image_id")["fold"]
    table = pd.read_parquet(trained.folder / "runs/two/fold4/oof.parquet")
    assert sorted(table["image_id"]) == sorted(folds.index[folds == 4])
    train = trained.read("input/smoke/train.csv")
    network = create_network(ModelConfig(backbone="resnet10t"), image_size=32)
    load_weights(network, trained.folder / "runs/two/fold4/model.safetensors")
    (cache,) = (trained.folder / "runs/.cache").glob("smoke-*/images.npy")
    images = torch.from_numpy(np.load(cache)[pd.Index(train["image_id"]).get_indexer(table["image_id"])]).unsqueeze(1)
    (alone,) = infer(network, [images], Precision(torch.device("cpu"), torch.float32))
    for head in HEADS:
        np.testing.assert_allclose(np.stack(table[f"{head.name}_prob"]), alone[head.name], atol=1e-4)


def test_a_run_starts_from_the_weights_of_another(trained: Project) -> None:
    arguments = ("fold=0", "config=smoke", "train.epochs=1")
    assert "Starting from runs/smoke/fold0" in trained.call(*arguments, "run=next", "model.init_from=smoke").stdout
    error = trained.call("fold=3", "config=smoke", "run=leak", "model.init_from=smoke", status=2).stderr
    assert "another fold has trained on the images" in error


def test_everything_at_once_trains_and_predicts(trained: Project) -> None:
    trained.call(
        *("fold=0", "config=smoke", "run=everything", "train.epochs=2", "optimizer.schedule=restarts"),
        *("optimizer.cycles=2", "optimizer.name=sgd", "optimizer.clip_norm=1", "train.accumulate=2"),
        *("train.sampling=balanced", "train.swa_epochs=1", "train.freeze_epochs=1", "train.first_size=24"),
        *("augment.policy=heavy", "mix.cutmix=0.3", "mix.mixup=0.3", "mix.fmix=0.3"),
        *("model.pooling=gem", "model.consonant=parts", "model.graphemes=arcface"),
        *("loss.label_smoothing=0.1", "loss.class_balance=0.9", "loss.grapheme_weight=0.5"),
    )
    folder = trained.folder / "runs/everything/fold0"
    names = {f"{kind}{name}" for kind in ("model", "oof") for name in ("-cycle0", "-cycle1")}
    assert names <= {path.stem for path in folder.iterdir()}
    assert (trained.folder / "submissions/everything-fold0.csv").exists()


def test_rendered_images_are_trained_on_beside_the_real_ones_and_never_validated_with(trained: Project) -> None:
    arguments = ["fold=0", "config=smoke", "run=rendered", "train.epochs=1", "model.graphemes=linear"]
    arguments += ["data.rendered_fraction=0.2", "data.rendered_graphemes=grammar"]
    folds = trained.read("folds/smoke.csv").set_index("image_id")["fold"]
    num_real = int((folds != 0).sum())
    assert f"Fold 0: {num_real * 5 // 4} images to train on, {len(folds) - num_real} to validate" in (
        trained.call(*arguments).stdout
    )
    folder = trained.folder / "runs/rendered/fold0"
    assert sorted(pd.read_parquet(folder / "oof.parquet")["image_id"]) == sorted(folds.index[folds == 0])
    assert not (folder / "rendered.npy").exists()
    (folder / "metrics.json").unlink()  # as if killed after its last epoch
    trained.call(*arguments)
    assert (folder / "metrics.json").exists()


UNSEEN = (
    *("config=smoke", "model.backbone=test_resnet", "folds.scheme=unseen"),
    *("sample.num_graphemes=200", "sample.images_per_grapheme=3", "sample.test_images=30"),
)


@pytest.fixture(scope="module")
def with_unseen(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two folds that train without some graphemes, with a grapheme head and two snapshots."""
    project = Project(tmp_path_factory.mktemp("unseen"))
    project.call(
        *("fold=[0,1]", *UNSEEN, "train.epochs=2", "model.graphemes=linear"),
        *("optimizer.schedule=restarts", "optimizer.cycles=2"),
    )
    return project


def test_graphemes_that_training_lacks_are_scored_apart(with_unseen: Project) -> None:
    folder = with_unseen.folder / "runs/smoke/fold0"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"score", "seen", "unseen", "mix"} <= set(metrics)
    assert "unseen" in json.loads((folder / "log.jsonl").read_text().splitlines()[0])
    table = pd.read_parquet(folder / "oof.parquet")
    trained_on = pd.read_csv(folder / "graphemes.csv")
    triples = [head.name for head in HEADS]
    known = set(map(tuple, trained_on[triples].to_numpy().tolist()))
    assert table["unseen"].tolist() == [tuple(row) not in known for row in table[triples].to_numpy().tolist()]
    assert 0 < table["unseen"].mean() < 0.2
    scored = with_unseen.call("score", "run=smoke").stdout
    for word in ("unseen", "mix", "prior", "grapheme", "joint", "gain over argmax", "calibration"):
        assert word in scored
    mistakes = pd.read_csv(with_unseen.folder / "runs/smoke/mistakes/recall.csv")
    for head in HEADS:  # their mean is the macro recall of both folds
        recalls = mistakes.loc[mistakes["head"] == head.name, "recall"]
        line = next(line for line in scored.splitlines() if line.startswith("  all "))
        assert float(line.split()[2 + triples.index(head.name)]) == pytest.approx(recalls.mean(), abs=6e-5)


def test_tta_and_snapshots_are_members_like_runs(with_unseen: Project) -> None:
    predicted = with_unseen.call("predict", "run=smoke@tta3", "decode.rule=joint").stdout
    assert "fold 1, tta3" in predicted  # scored before they are used
    assert "Decoding by the rule joint" in predicted
    with_unseen.call("predict", "run=smoke@cycle0")
    runs = "runs=[smoke,smoke@tta3,smoke@cycle0]"
    for weights in ("greedy", "stacking"):
        with_unseen.call("ensemble", runs, f"name={weights}", f"ensemble.weights={weights}", "decode.rule=prior")
        assert (with_unseen.folder / f"submissions/{weights}.csv").exists()
    error = with_unseen.call("predict", "run=smoke@tta4", status=2).stderr
    assert "tta9" in error


def test_confident_test_images_are_trained_on_with_pseudo_labels(with_unseen: Project) -> None:
    pseudo = ("data.pseudo=smoke", "data.pseudo_confidence=0.03")
    arguments = ("fold=0", *UNSEEN, "train.epochs=1", *pseudo, "run=taught")
    output = with_unseen.call(*arguments).stdout
    assert "of 30 test images" in output
    plain, taught = (
        pd.read_csv(with_unseen.folder / f"runs/{run}/fold0/graphemes.csv")["images"].sum()
        for run in ("smoke", "taught")
    )
    assert taught > plain
    error = with_unseen.call("fold=3", *arguments[1:], "run=b", status=2).stderr
    assert "fold=3: fold 3 of run smoke is not finished" in error
