"""./run.sh export: ONNX files that compute what the networks compute."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Refused, random_images

from okkhor.commands import export
from okkhor.config import ModelConfig
from okkhor.models.network import create_network, place_network
from okkhor.models.onnx import IMAGES, write_onnx
from okkhor.models.weights import save_weights

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(backbone="resnet10t", pooling="gem", consonant="parts", graphemes="arcface"),
        ModelConfig(backbone="vit_tiny_patch16_224", graphemes="linear"),
    ],
    ids=["every head", "transformer"],
)
def test_a_file_computes_the_networks_probabilities_for_any_number_of_images(
    model: ModelConfig, tmp_path: Path
) -> None:
    graphemes = np.array([(13, 0, 0), (13, 2, 0), (72, 0, 5)])
    network = create_network(model, 32, graphemes).eval()
    placed = place_network(network, torch.device("cpu"))  # as predict lays it out
    write_onnx(placed, 32, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == (IMAGES, "tensor(uint8)", [1, 32, 32])
    for number in (1, 5):
        images = random_images(number, 32)
        with torch.inference_mode():
            expected = {name: logits.softmax(dim=1).numpy() for name, logits in network(images).items()}
        found = dict(zip(expected, session.run(list(expected), {IMAGES: images.numpy()}), strict=True))
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_command_writes_a_file_that_it_has_checked(
    untrained_run: str,
    competition: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    refused: Refused,
) -> None:
    arguments = [f"run={untrained_run}", f"data.root={competition}", "fold=1"]
    export.main(arguments)
    line = capsys.readouterr().out
    folder = Path(f"runs/{untrained_run}/fold1")
    assert line.startswith(f"{folder}/model.onnx: ")
    assert "2 test images" in line  # of the first shard
    assert float(line.strip().rstrip(".").rpartition(" ")[2]) < 1e-5
    other = (folder / "model.onnx").rename("other.onnx")  # as if the exporter had a fault
    save_weights(create_network(ModelConfig(backbone="resnet10t"), 32), folder / "model.safetensors")
    monkeypatch.setattr(export, "write_onnx", lambda _network, _size, path: shutil.copy(other, path))
    refused(["differ from torch's by", "0.0001"], export.main, arguments)
    assert not list(Path("runs").rglob("*.onnx*"))


def test_what_is_wrong_is_told(untrained_run: str, refused: Refused) -> None:
    Path("empty").mkdir()
    refused(["views"], export.main, [f"run={untrained_run}@tta3"])
    refused(["no test images"], export.main, [f"run={untrained_run}", "data.root=empty"])
    refused(["run=other"], export.main, ["run=other"])
