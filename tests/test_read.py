"""./run.sh read and okkhor.read."""

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PROJECT, Refused, paint_number
from PIL import Image

import okkhor
from okkhor.__main__ import main
from okkhor.commands import read
from okkhor.config import ModelConfig
from okkhor.data.pixels import prepare_image
from okkhor.models.network import create_network
from okkhor.models.weights import load_weights, save_weights
from okkhor.pipeline.reader import Guess, Reading
from okkhor.rendering.graphemes import compose, read_graphemes
from okkhor.schema import HEAD_NAMES, HEADS


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An image in the competition's own size, so that preparation leaves it as it is."""
    path = tmp_path / "photos/one.png"
    path.parent.mkdir()
    Image.fromarray(paint_number(4)).save(path)
    return path


def probabilities_of(run: str, number: int) -> dict[str, np.ndarray]:
    """What the two networks of a run say of an image on average, computed by hand."""
    image = torch.from_numpy(prepare_image(paint_number(number), 32, crop_to_ink=True))[None, None]
    outputs = []
    for fold in (0, 1):
        network = create_network(ModelConfig(backbone="resnet10t"), 32).eval()
        load_weights(network, Path(f"runs/{run}/fold{fold}/model.safetensors"))
        with torch.inference_mode():
            outputs.append({name: logits.softmax(dim=1)[0].numpy() for name, logits in network(image).items()})
    return {name: np.mean([output[name] for output in outputs], axis=0) for name in HEAD_NAMES}


def test_what_is_read_is_the_mean_of_the_folds_networks(untrained_run: str, photo: Path) -> None:
    reading = okkhor.read(photo, run=untrained_run)
    for name, expected in probabilities_of(untrained_run, 4).items():
        np.testing.assert_allclose(reading.probabilities[name], expected, atol=1e-6)
        assert reading.labels[name] == expected.argmax()
    one = okkhor.read(photo, run=untrained_run, fold=0)
    assert not np.allclose(one.probabilities[HEAD_NAMES[0]], reading.probabilities[HEAD_NAMES[0]])


def test_the_guesses_are_the_five_likeliest_of_all_triples(untrained_run: str, photo: Path) -> None:
    reading = okkhor.read(photo, run=untrained_run)
    tables = [reading.probabilities[name].astype(float) for name in HEAD_NAMES]
    triples = product(*(range(head.num_classes) for head in HEADS))
    ranked = sorted((np.prod([t[k] for t, k in zip(tables, labels, strict=True)]), labels) for labels in triples)
    assert [guess.labels for guess in reading.guesses] == [labels for _, labels in ranked[:-6:-1]]
    assert [guess.text for guess in reading.guesses] == [compose(labels) for _, labels in ranked[:-6:-1]]
    assert [guess.probability for guess in reading.guesses] == pytest.approx([value for value, _ in ranked[:-6:-1]])
    assert reading.text == reading.guesses[0].text
    known = {grapheme.labels: grapheme.text for grapheme in read_graphemes()}
    value, labels = next((value, labels) for value, labels in ranked[::-1] if labels in known)
    assert (reading.nearest.text, reading.nearest.labels) == (known[labels], labels)
    assert reading.nearest.probability == pytest.approx(value)


def test_new_weights_are_not_taken_for_the_old_ones(untrained_run: str, photo: Path) -> None:
    before = okkhor.read(photo, run=untrained_run, fold=0)
    torch.manual_seed(1)
    save_weights(create_network(ModelConfig(backbone="resnet10t"), 32), Path("runs/untrained/fold0/model.safetensors"))
    assert okkhor.read(photo, run=untrained_run, fold=0).guesses != before.guesses


def test_a_fork_after_a_reading_reads_too(untrained_run: str, photo: Path) -> None:
    """gunicorn's preload, multiprocessing: OpenMP's threads don't follow into a fork, which waited for ever."""
    code = """if True:
    import multiprocessing, sys, okkhor, torch
    torch.set_num_threads(2)
    read = lambda: okkhor.read(*sys.argv[1:]).text
    text = read()
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(read() != text))
    child.start(); child.join(60); child.kill(); print(text, child.exitcode)"""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-W", "ignore", "-c", code, str(photo), untrained_run]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.endswith(" 0\n"), done.stdout + done.stderr


def test_the_command_prints_for_each_image_what_the_call_returns(
    untrained_run: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(paint_number(9)).save("two.png")
    read.main([str(photo), "two.png", f"run={untrained_run}"])
    out = capsys.readouterr().out
    for path in (str(photo), "two.png"):
        reading = okkhor.read(path, run=untrained_run)
        assert f"{path}: {reading.text}\n" in out
        assert "likeliest: " + ", ".join(f"{guess.text} {guess.probability:.3f}" for guess in reading.guesses) in out
        for name, label in reading.labels.items():
            assert f"  {name:20}{label:4}  {reading.probabilities[name][label]:.3f}" in out


def test_what_is_no_grapheme_of_the_competition_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {head.name: np.full(head.num_classes, 1 / head.num_classes, np.float32) for head in HEADS}
    known, unknown = Guess("ক", (13, 0, 0), 0.2), Guess("কঁ্য", (13, 0, 6), 0.5)
    for first, is_marked in ((known, False), (unknown, True)):
        read.print_reading("a.png", Reading(tables, (first,), known))
        assert ("none of the competition's 1,295; the nearest of them: ক 0.200" in capsys.readouterr().out) == is_marked


def test_a_photo_with_an_equals_sign_in_its_path_is_read(
    untrained_run: str, photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 25, item 1 (d): its path was taken for a setting."""
    monkeypatch.setenv("HOME", str(photo.parent))
    paths = [str(photo.with_name("a=1.png")), "~/seed=2/b.png", "run"]
    for path in paths:
        copy = Path(path.replace("~", str(photo.parent)))
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(photo, copy)
    read.main([*paths, f"run={untrained_run}"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines if not line.startswith(" ")] == paths


def test_the_default_is_the_presets_run(untrained_run: str, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(f"runs/{untrained_run}", "runs/sample")
    assert okkhor.read(photo).guesses == okkhor.read(photo, run=untrained_run).guesses
    read.main([str(photo), "config=sample"])
    assert str(photo) in capsys.readouterr().out


def test_what_is_wrong_is_told_and_nothing_is_read(untrained_run: str, photo: Path, refused: Refused) -> None:
    refused(["no image is named", "read photo.jpg"], read.main, [f"run={untrained_run}"])
    refused(["none.png: there is no such image"], read.main, [str(photo), "none.png", f"run={untrained_run}"])
    refused(["run=other", "no finished fold"], read.main, [str(photo), "run=other"])
    refused(["fold 4", "not finished"], read.main, [str(photo), f"run={untrained_run}", "fold=4"])
    refused(["model-cycle3.safetensors", "no such file"], okkhor.read, photo, f"{untrained_run}@cycle3")
    refused(["colour=red: there is no such setting"], read.main, [str(photo), "colour=red", f"run={untrained_run}"])
    assert main(["read", "none.png"]) == 2


@pytest.mark.slow
def test_images_are_looked_for_where_run_sh_was_called(untrained_run: str, photo: Path) -> None:
    for name in ("src", "configs"):
        Path(name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "run.sh", "run.sh")
    result = subprocess.run(
        [Path("run.sh").resolve(), "read", photo.name, f"run={untrained_run}"],
        cwd=photo.parent,
        env=os.environ | {"OKKHOR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{photo.name}: ")
