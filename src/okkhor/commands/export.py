"""./run.sh export run=<run>: each fold's network as an ONNX file, checked against torch on the data folder's images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from okkhor.config import Config
from okkhor.data.competition import read_test_set
from okkhor.data.pixels import prepare_images
from okkhor.data.shards import read_images
from okkhor.errors import ConfigError, InputError, check_extra
from okkhor.files import replacing
from okkhor.models.onnx import IMAGES, write_onnx
from okkhor.pipeline.inference import load_network
from okkhor.pipeline.run import Run, name_run
from okkhor.settings import load_arguments
from okkhor.training.device import Precision
from okkhor.training.loop import infer

NUM_IMAGES = 256  # that both torch and onnxruntime compute
LARGEST_DIFFERENCE = 1e-4  # of a probability; float32 sums in another order differ by 1e-6


def main(arguments: Sequence[str]) -> None:
    check_extra("export", "onnx", "onnxscript", "onnxruntime")
    name = name_run(arguments)
    run = Run.open(name, load_arguments(arguments).fold)
    if run.num_views > 1:
        raise ConfigError(f"run={name}: a network holds no views. Export run={run.name}.")
    config = run.config(arguments)
    images = read_some_images(config)
    precision = Precision(torch.device("cpu"), torch.float32)
    for fold in run.folds:
        network = load_network(run.weights(fold), config.model, config.data.size, precision)
        path = run.weights(fold).with_suffix(".onnx")
        with replacing(path) as temporary:
            write_onnx(network, config.data.size, temporary)
            difference = measure_difference(network, temporary, images, precision)
            if not difference <= LARGEST_DIFFERENCE:  # or NaN
                raise InputError(
                    f"{path}: onnxruntime's probabilities differ from torch's by {difference:.1g}, expected at most "
                    f"{LARGEST_DIFFERENCE:g}. Nothing was written. Try other versions of onnx and onnxruntime."
                )
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        print(f"{path}: {size}; {len(images)} test images: probabilities differ by {difference:.1g}.")


def read_some_images(config: Config) -> torch.Tensor:
    """(B, 1, size, size) uint8: the first test images of data.root, prepared."""
    test = read_test_set(Path(config.data.root))
    if test is None:
        raise InputError(f"data.root={config.data.root}: no test images to check the files with. Name another folder.")
    _, block = next(read_images(test.shards[0], Path(config.data.cache_dir)))
    prepared = prepare_images(block[:NUM_IMAGES], config.data.size, config.data.crop_to_ink)
    return torch.from_numpy(prepared).unsqueeze(1)


def measure_difference(network: nn.Module, path: Path, images: torch.Tensor, precision: Precision) -> float:
    """The largest difference between a probability by torch and by onnxruntime."""
    from onnxruntime import InferenceSession  # an extra

    (expected,) = infer(network, [images], precision)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(list(expected), {IMAGES: images.numpy()})
    return max(float(np.abs(one - other.numpy()).max()) for one, other in zip(found, expected.values(), strict=True))
