"""The step on a GPU, on a machine without one: every tensor where its operation runs, one wait for the host."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from cuda_without_gpu import CUDA, Recorder, backward, pretend_cuda
from torch import Tensor
from torch.utils._pytree import tree_map_only

from okkhor.config import LossConfig
from okkhor.label_triples import Labels
from okkhor.models.network import create_network
from okkhor.pipeline.fold import make_trainer
from okkhor.pipeline.training_set import TrainingSet
from okkhor.schema import HEADS
from okkhor.settings import load_config
from okkhor.training.averaging import measure_batch_norm
from okkhor.training.device import Precision
from okkhor.training.distributed import World
from okkhor.training.loop import Batch, Trainer, infer, train_epoch
from okkhor.training.loss import ThreeHeadLoss
from okkhor.training.tta import infer_tta

SIZE, STEPS = 8, 2
CLASSES = [head.num_classes for head in HEADS]
TRIPLES = np.arange(40)[:, None] % CLASSES
LABELS = Labels(TRIPLES[:SIZE])

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


def make_batches(trainer: Trainer) -> Iterator[Batch]:
    labels = torch.from_numpy(LABELS.array)
    if "grapheme" in cast(Any, trainer.network).heads:
        labels = torch.cat([labels, torch.arange(SIZE)[:, None]], dim=1)
    for _ in range(STEPS):
        yield torch.zeros(SIZE, 1, 64, 64, dtype=torch.uint8), labels


def make(dtype: torch.dtype, *settings: str) -> Trainer:
    config = load_config(["config=smoke", "data.size=64", f"train.batch_size={SIZE}", *settings])
    network = create_network(config.model, config.data.size, TRIPLES)
    labels = LABELS
    if config.model.graphemes != "none":
        labels = Labels(np.column_stack([labels.array, np.arange(SIZE)]), (*labels.names, "grapheme"))
    training = cast(TrainingSet, SimpleNamespace(labels=labels, graphemes=TRIPLES))
    return make_trainer(network, config, Precision(CUDA, dtype), training, 2 * STEPS, World())


def tensors_of(trainer: Trainer) -> Iterator[Tensor]:
    for part in (trainer.network, trainer.ema):
        if part is not None:
            yield from part.state_dict().values()
    for state in trainer.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def half_precision(recipe: int) -> torch.dtype:
    return (torch.float16, torch.bfloat16)[recipe % 2]


@pytest.mark.parametrize(("number", "recipe"), list(enumerate(RECIPES)))
def test_the_step_on_a_gpu_has_all_that_it_needs_there(number: int, recipe: str) -> None:
    """Each recipe in one of the two half precisions; the sums of the step are the same in both."""
    with pretend_cuda():
        trainer = make(half_precision(number), *RECIPES[recipe])
        for epoch in range(2):
            list(train_epoch(trainer, make_batches(trainer), epoch))
        assert {tensor.device for tensor in tensors_of(trainer) if tensor.ndim} == {CUDA}
        images = next(make_batches(trainer))[0]
        for found in (
            *infer(trainer.best_network, [images], trainer.precision),
            infer_tta(trainer.best_network, images, trainer.precision, 3),
        ):
            assert {(p.device.type, p.dtype) for p in found.values()} == {("cpu", torch.float32)}


def test_a_state_that_was_read_to_the_cpu_goes_on_on_the_gpu() -> None:
    with pretend_cuda():
        trainer, other = make(torch.float16), make(torch.float16)
        list(train_epoch(trainer, make_batches(trainer)))
        for name, part in trainer.parts().items():
            state = tree_map_only(Tensor, lambda tensor: tensor.cpu(), part.state_dict())
            other.parts()[name].load_state_dict(state)
        assert {tensor.device for tensor in tensors_of(other)} == {CUDA}
        list(train_epoch(other, make_batches(other), 1))


def record_epoch(*settings: str, dtype: torch.dtype = torch.float16) -> tuple[int, Recorder]:
    """Record the steps of the second epoch. Returns the reads of each, and what was recorded."""
    with pretend_cuda() as reads:
        trainer = make(dtype, *settings)
        list(train_epoch(trainer, make_batches(trainer)))
        reads.clear()
        with Recorder() as recorder:
            list(train_epoch(trainer, make_batches(trainer), 1))
        return len(reads) // STEPS, recorder


@pytest.mark.parametrize(
    "settings", [[], ["mix.cutmix=1"], ["mix.fmix=1"], ["optimizer.name=sgd"], ["optimizer.name=muon"]]
)
def test_a_step_waits_for_the_gpu_once(settings: list[str]) -> None:
    reads, recorder = record_epoch(*settings)
    assert (reads, recorder.waits) == (1, [])


def test_a_batch_of_averaged_weights_is_measured_without_a_wait() -> None:
    with pretend_cuda() as reads:
        trainer = make(torch.float16)
        with Recorder() as recorder:
            measure_batch_norm(trainer.network, (images for images, _ in make_batches(trainer)), trainer.precision)
    assert (reads, recorder.waits) == ([], [])


def test_resnet34s_convolutions_keep_the_channels_last_and_its_launches_are_known() -> None:
    """In float16: whether bfloat16 has cuDNN's convolutions, torch asks the card itself."""
    _, recorder = record_epoch("model.backbone=resnet34")
    assert set(recorder.layouts) == {(True, torch.float16)}
    print(sum(recorder.operations.values()) / STEPS, recorder.operations)


def test_a_loss_on_another_device_is_noticed() -> None:
    with pretend_cuda():
        trainer = make(torch.float16, "model.consonant=parts")
        trainer.loss = ThreeHeadLoss(LossConfig(), "parts", LABELS, torch.device("cpu"))
        with pytest.raises(RuntimeError, match="same device"):
            list(train_epoch(trainer, make_batches(trainer)))


def test_the_backward_pass_written_out_is_torchs() -> None:
    network = create_network(load_config(["config=smoke"]).model, 32)
    images = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)

    def loss() -> Tensor:
        return torch.cat(list(network(images).values()), dim=1).square().mean()

    gradients: list[list[Tensor | None]] = []
    for run in (lambda: loss().backward(), lambda: backward(loss())):
        network.zero_grad()
        run()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(
        torch.equal(one, other) for one, other in zip(*gradients, strict=True) if one is not None and other is not None
    )
