"""The step on a GPU, on a machine without one: every tensor where its operation runs, one wait for the host."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from cuda_without_gpu import CUDA, Recorder, backward, pretend_cuda
from helpers import random_images
from torch import Tensor
from torch.utils._pytree import tree_map_only

from okkhor.config import LossConfig
from okkhor.label_triples import Labels
from okkhor.models.network import create_network
from okkhor.pipeline.fold import make_trainer
from okkhor.pipeline.training_set import TrainingSet
from okkhor.schema import GRAPHEME, HEAD_NAMES, HEADS
from okkhor.settings import load_config
from okkhor.training.averaging import measure_batch_norm
from okkhor.training.device import Precision
from okkhor.training.distributed import World
from okkhor.training.loop import Trainer, infer, train_epoch
from okkhor.training.loss import ThreeHeadLoss
from okkhor.training.tta import infer_tta

SIZE, STEPS = 8, 2
TRIPLES = np.arange(SIZE)[:, None] % np.array([head.num_classes for head in HEADS])
LABELS = Labels(np.column_stack([TRIPLES, np.arange(SIZE)]), (*HEAD_NAMES, GRAPHEME))
IMAGES = torch.zeros(SIZE, 1, 64, 64, dtype=torch.uint8)

RECIPES: dict[str, tuple[str, ...]] = {
    "clipped micro-batches": ("optimizer.clip_norm=1", "train.accumulate=2"),
    "cutmix": ("mix.cutmix=1", "train.first_size=32"),
    "mixup": ("mix.mixup=1", "model.graphemes=linear"),
    "fmix": ("mix.fmix=1",),
    "arcface": ("model.graphemes=arcface", "model.pooling=gem", "model.consonant=parts", "model.dropout=0.3"),
    "losses": (
        "model.pooling=average_max",
        "loss.focal_gamma=2",
        "loss.label_smoothing=0.1",
        "loss.logit_adjustment=1",
    ),
    "hard": ("loss.hard_share=0.5", "loss.class_balance=0.999"),
    "sgd": ("optimizer.name=sgd", "train.freeze_epochs=2", "optimizer.schedule=restarts", "optimizer.cycles=2"),
    "muon": ("optimizer.name=muon", "train.swa_epochs=1"),
}


def make(dtype: torch.dtype, *settings: str) -> Trainer:
    config = load_config(["config=smoke", "data.size=64", f"train.batch_size={SIZE}", *settings])
    network = create_network(config.model, config.data.size, TRIPLES)
    training = cast(TrainingSet, SimpleNamespace(labels=LABELS if GRAPHEME in network.heads else Labels(TRIPLES)))
    return make_trainer(network, config, Precision(CUDA, dtype), training, 2 * STEPS, World())


def train(trainer: Trainer, epoch: int = 0) -> None:
    batch = IMAGES, torch.from_numpy(LABELS.array[:, : len(cast(Any, trainer.network).heads)])
    list(train_epoch(trainer, [batch] * STEPS, epoch))


def tensors_of(trainer: Trainer) -> Iterator[Tensor]:
    for part in (trainer.network, trainer.ema):
        yield from cast(torch.nn.Module, part).state_dict().values()
    for state in trainer.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_step_on_a_gpu_has_all_that_it_needs_there(recipe: str) -> None:
    """Each recipe in one of the half precisions, in turn."""
    dtype = (torch.float16, torch.bfloat16)[list(RECIPES).index(recipe) % 2]
    with pretend_cuda():
        trainer = make(dtype, *RECIPES[recipe])
        for epoch in range(2):
            train(trainer, epoch)
        assert {tensor.device for tensor in tensors_of(trainer) if tensor.ndim} == {CUDA}
        network, precision, images = trainer.best_network, trainer.precision, IMAGES.clone()
        for found in (*infer(network, [images], precision), infer_tta(network, images, precision, 3)):
            assert {(p.device.type, p.dtype) for p in found.values()} == {("cpu", torch.float32)}


def test_a_state_that_was_read_to_the_cpu_goes_on_on_the_gpu() -> None:
    with pretend_cuda():
        trainer, other = make(torch.float16), make(torch.float16)
        train(trainer)
        for name, part in trainer.parts().items():
            state = tree_map_only(Tensor, lambda tensor: tensor.cpu(), part.state_dict())
            other.parts()[name].load_state_dict(state)
        assert {tensor.device for tensor in tensors_of(other)} == {CUDA}
        train(other, 1)


def record(*settings: str) -> tuple[int, Recorder]:
    """Record the second epoch in float16. Return how often a step reads from the GPU, and what was recorded."""
    with pretend_cuda() as reads:
        trainer = make(torch.float16, *settings)
        train(trainer)
        reads.clear()
        with Recorder() as recorder:
            train(trainer, 1)
        return len(reads) // STEPS, recorder


@pytest.mark.parametrize(
    "setting", ["mix.cutmix=0", "mix.cutmix=1", "mix.fmix=1", "optimizer.name=sgd", "optimizer.name=muon"]
)
def test_a_step_waits_for_the_gpu_once(setting: str) -> None:
    reads, recorder = record(setting)
    assert (reads, recorder.waits) == (1, [])


def test_batch_norm_is_measured_without_a_wait() -> None:
    with pretend_cuda() as reads, Recorder() as recorder:
        trainer = make(torch.float16)
        recorder.waits.clear()  # of the weights
        measure_batch_norm(trainer.network, [IMAGES] * STEPS, trainer.precision)
    assert (reads, recorder.waits) == ([], [])


def test_the_convolutions_of_resnet34_keep_the_channels_last_and_its_step_has_not_grown() -> None:
    """In float16: whether bfloat16 has cuDNN's convolutions, torch asks the card itself."""
    _, recorder = record("model.backbone=resnet34")
    assert recorder.layouts == {(True, torch.float16)}
    assert sum(recorder.operations.values()) / STEPS <= 616  # 120 of them are of the method: EXPERIMENTS.md


def test_a_loss_on_another_device_is_noticed() -> None:
    with pretend_cuda():
        trainer = make(torch.float16, "model.consonant=parts")
        trainer.loss = ThreeHeadLoss(LossConfig(), "parts", LABELS, torch.device("cpu"))
        with pytest.raises(RuntimeError, match="same device"):
            train(trainer)


def test_the_backward_pass_written_out_is_torchs() -> None:
    network = create_network(load_config(["config=smoke"]).model, 32)
    gradients = []
    for run in (Tensor.backward, backward):
        network.zero_grad()
        run(torch.cat(list(network(random_images(4, 32)).values()), dim=1).square().mean())
        gradients.append([cast(Tensor, parameter.grad) for parameter in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
