"""Training: precision, steps that must not be taken, and an exact resume."""

import copy
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from helpers import assert_same_state
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel

from okkhor.config import LossConfig, MixConfig, OptimizerConfig, TrainConfig
from okkhor.errors import ConfigError, InputError
from okkhor.label_triples import Labels
from okkhor.models.network import create_network
from okkhor.pipeline import fold
from okkhor.pipeline.training_set import TrainingSet
from okkhor.predictions import Predictions
from okkhor.processes import stop_on_signals
from okkhor.schema import HEADS
from okkhor.settings import load_config
from okkhor.training import profiling
from okkhor.training.averaging import StepAverage, measure_batch_norm
from okkhor.training.checkpoint import Progress, load_state, save_state
from okkhor.training.compiling import check_compiler
from okkhor.training.device import Precision, choose_device, choose_precision
from okkhor.training.distributed import World
from okkhor.training.fit import Evaluate, Prepare, Scores, fit
from okkhor.training.loop import Batch, Trainer, clip_gradient, infer, resize, split_batch, train_epoch
from okkhor.training.loss import ThreeHeadLoss
from okkhor.training.mixing import MixedBatch
from okkhor.training.optimizer import make_optimizer, make_schedule
from okkhor.training.recipe import Recipe

CPU = torch.device("cpu")
LABELS = Labels.from_columns({head.name: np.arange(8) % head.num_classes for head in HEADS})


class TinyNetwork(nn.Module):
    """Three linear heads with dropout, so that training needs the random state too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
        self.heads = nn.ModuleDict({head.name: nn.Linear(32, head.num_classes) for head in HEADS})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(images.float() / 255)
        return {name: head(features) for name, head in self.heads.items()}


class TinyLoader:
    """Four batches an epoch, made from the epoch's number."""

    def __len__(self) -> int:
        return 4

    def epoch(self, number: int = 0, first_batch: int = 0) -> Iterator[Batch]:
        for batch in range(first_batch, 4):
            generator = torch.Generator().manual_seed(100 * number + batch)
            images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=generator)
            yield images, torch.stack([torch.arange(8) % head.num_classes for head in HEADS], dim=1)


def make_trainer(dtype: torch.dtype = torch.float32, learning_rate: float = 1e-2, **changes: object) -> Trainer:
    """changes: of the TrainConfig, or mix=, optimizer=: whole configs."""
    torch.manual_seed(0)
    network = TinyNetwork()
    optimizer_config = changes.pop("optimizer", OptimizerConfig(learning_rate=learning_rate))
    mix = changes.pop("mix", MixConfig())
    assert isinstance(optimizer_config, OptimizerConfig)
    assert isinstance(mix, MixConfig)
    train = TrainConfig(**{"epochs": 3, "batch_size": 8, **changes})  # type: ignore[arg-type]
    optimizer = make_optimizer(network, optimizer_config)
    precision = Precision(CPU, dtype)
    return Trainer(
        network=network,
        optimizer=optimizer,
        schedule=make_schedule(optimizer, optimizer_config, num_steps=4 * train.epochs),
        scaler=precision.make_scaler(),
        precision=precision,
        loss=ThreeHeadLoss(LossConfig(), "classes", LABELS, CPU),
        recipe=Recipe(train, optimizer_config, mix, image_size=8, seed=0),
        ema=ModelEmaV3(network, decay=0.9, use_warmup=True),
        average=AveragedModel(network) if train.swa_epochs else None,
    )


class Killed(Exception):  # noqa: N818
    """This stands for kill -9: nothing runs after it."""


def run(
    trainer: Trainer,
    folder: Path,
    stop_at: int | None = None,
    saved: list[str] | None = None,
    killed: bool = False,
    prepare_epoch: Prepare | None = None,
    evaluate: Evaluate | None = None,
) -> Progress:
    """Fit with four batches an epoch. stop_at: the batch in which a signal or a kill comes. saved: gets the names."""
    seen, loss, names = 0, trainer.loss, [] if saved is None else saved

    def count(*arguments: Any, **named: Any) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == stop_at and killed:
            raise Killed
        if seen == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return loss(*arguments, **named)

    trainer.loss = count
    nothing = Predictions(np.array([], dtype=np.str_), {})

    def sum_up(network: nn.Module, should_stop: Callable[[], bool]) -> Scores | None:
        return None if should_stop() else ({"score": float(next(network.parameters()).detach().sum())}, nothing)

    return fit(trainer, TinyLoader(), evaluate or sum_up, lambda *saved: names.append(saved[2]), folder, prepare_epoch)


def assert_same_parts(one: Trainer, other: Trainer) -> None:
    for name, part in one.parts().items():
        if isinstance(part, nn.Module):
            assert_same_state(part, other.parts()[name])


def scale_loss(trainer: Trainer, factor: float) -> None:
    loss = trainer.loss
    trainer.loss = lambda *arguments, **named: loss(*arguments, **named) * factor


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_lowers_the_loss_in_each_precision(dtype: torch.dtype) -> None:
    trainer = make_trainer(dtype)
    losses = []
    for _ in range(3):
        losses += list(train_epoch(trainer, TinyLoader().epoch()))
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_the_gradient_scaler_of_float16_trains_the_same_as_no_scaler_does() -> None:
    plain = list(train_epoch(make_trainer(), TinyLoader().epoch()))
    trainer = make_trainer()
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    assert list(train_epoch(trainer, TinyLoader().epoch())) == pytest.approx(plain, rel=1e-4)
    assert Precision(CPU, torch.float16).make_scaler().is_enabled()
    assert not Precision(CPU, torch.bfloat16).make_scaler().is_enabled()


@pytest.mark.filterwarnings("error")  # torch's, of a schedule that moves without a step
def test_a_float16_step_that_overflows_is_as_if_it_had_not_been() -> None:
    plain, trainer = make_trainer(torch.float16), make_trainer(torch.float16)
    batches = [next(TinyLoader().epoch())] * 2
    layers = cast(TinyNetwork, trainer.network).body
    spoil = layers[1].register_forward_hook(lambda *given: given[2] * float("inf"))  # the batch norm sees it
    assert np.isnan(list(train_epoch(trainer, batches))).all()
    assert (trainer.skips, trainer.schedule.last_epoch, trainer.scaler.get_scale()) == (2, 0, 2.0**14)
    spoil.remove()
    trainer.scaler = plain.scaler = torch.amp.GradScaler("cpu")
    assert list(train_epoch(trainer, batches)) == list(train_epoch(plain, batches))
    assert trainer.skips == 0
    trainer.network.get_buffer("body.2.num_batches_tracked").sub_(2)  # nothing reads it
    assert_same_state(plain.network, trainer.network)


def test_skipped_steps_are_logged_and_left_out_of_the_mean_loss(tmp_path: Path) -> None:
    trainer = make_trainer(torch.float16)
    first = cast(TinyNetwork, trainer.network).body[1]
    first.register_forward_hook(lambda *given: given[2] * float("inf") if trainer.skips < 2 else None)  # 2 of 3 steps
    history = run(trainer, tmp_path).history
    assert [(line["skipped_steps"], line["train_loss"] > 3) for line in history] == [(3, True), (3, True), (2, True)]
    assert "skipped_steps" not in run(make_trainer(), tmp_path / "float32").history[0]


def test_a_float16_run_that_skips_fifty_steps_in_a_row_is_stopped() -> None:
    trainer, losses = make_trainer(torch.float16), list[float]()
    next(trainer.network.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(InputError, match=r"50 steps in a row, before step 0, .*train\.precision=float32"):
        losses.extend(train_epoch(trainer, [next(TinyLoader().epoch())] * 60))
    assert_same_state(trainer.network.get_submodule("heads"), make_trainer().network.get_submodule("heads"))


def test_a_network_is_compiled_once_when_all_its_layers_train_and_its_copies_stay_as_they_are() -> None:
    config = load_config(["config=smoke", "train.compile=reduce-overhead", "train.freeze_epochs=2"])
    network = create_network(config.model, config.data.size)
    training = cast(TrainingSet, SimpleNamespace(labels=LABELS))
    trainer = fold.make_trainer(network, config, Precision(CPU, torch.float32), training, 4, World())
    compiled = []
    for epoch in range(4):
        trainer.start_epoch(trainer.network, epoch)
        compiled.append(trainer.network._compiled_call_impl)
    assert compiled[0] is compiled[1] is None
    assert compiled[2] is compiled[3] is not None
    assert trainer.best_network is not trainer.network
    assert trainer.best_network._compiled_call_impl is None


def test_a_machine_that_cannot_compile_is_told_before_anything_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_badly(_function: object, mode: str) -> Callable[[object], object]:
        raise RuntimeError(f"InvalidCxxCompiler: No working C++ compiler found for {mode}\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", compile_badly)
    check_compiler(TrainConfig(), CPU)
    with pytest.raises(ConfigError, match=r"torch can't compile here \(InvalidCxx[^\n]*default\)"):
        check_compiler(TrainConfig(compile="default"), CPU)
    with pytest.raises(ConfigError, match=r"train\.accumulate=1"):
        check_compiler(TrainConfig(compile="reduce-overhead", accumulate=2), CPU)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here")
def test_a_compiled_network_trains_alike_and_its_running_mean_is_its_own() -> None:
    losses, means = [], []
    for is_compiled in (False, True):
        trainer = make_trainer()
        cast(nn.Dropout, cast(TinyNetwork, trainer.network).body[4]).p = 0  # drawn otherwise there
        if is_compiled:
            trainer.network.compile(mode="default")
        losses.append(list(train_epoch(trainer, TinyLoader().epoch())))
        means.append(trainer.best_network.eval()(next(TinyLoader().epoch())[0])["grapheme_root"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert torch.allclose(means[0], means[1], atol=0.02)  # of .3: Adam makes much of small gradients


@pytest.mark.parametrize("value", ["loss", "length of the gradient"])
def test_a_value_that_is_not_finite_stops_training_before_the_step(value: str) -> None:
    trainer = make_trainer()
    if value == "loss":
        scale_loss(trainer, float("nan"))
    else:
        next(trainer.network.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    with pytest.raises(InputError, match=f"The {value} is nan at step 0"):
        next(train_epoch(trainer, TinyLoader().epoch()))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed": {"mix": MixConfig(cutmix=0.3, mixup=0.3, fmix=0.3, cooldown_epochs=1)},
    "sgd": {"optimizer": OptimizerConfig(name="sgd", schedule="restarts", cycles=3, clip_norm=1.0)},
    "averaged": {"swa_epochs": 2, "accumulate": 2, "optimizer": OptimizerConfig(name="muon", schedule="cosine")},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stop_at", [1, 4, 5, 11, 12])  # the batches 4 and 12 end an epoch
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_training_that_was_broken_off_goes_on_to_the_same_weights_bit_for_bit(
    tmp_path: Path, stop_at: int, recipe: str, killed: bool
) -> None:
    settings: dict[str, Any] = {**RECIPES[recipe], "save_minutes": 0.0}  # a state after each batch
    unbroken = make_trainer(**settings)
    whole = run(unbroken, tmp_path / "unbroken")
    with pytest.raises(Killed if killed else KeyboardInterrupt):
        run(make_trainer(**settings), tmp_path / "broken", stop_at, killed=killed)
    torch.manual_seed(999)
    resumed = make_trainer(**settings)
    rest = run(resumed, tmp_path / "broken")
    assert_same_parts(unbroken, resumed)
    assert_same_state(unbroken.best_network, resumed.best_network)
    speed = ("seconds", "images_per_second")
    strip = partial(map, lambda line: {key: value for key, value in line.items() if key not in speed})
    assert list(strip(whole.history)) == list(strip(rest.history))
    assert [line["epoch"] for line in rest.history] == [1, 2, 3]


@pytest.mark.parametrize("in_preparation", [False, True])
def test_an_epoch_is_prepared_again_after_a_signal_within_it_or_its_preparation(
    tmp_path: Path, in_preparation: bool
) -> None:
    epochs: list[int] = []

    def prepare(epoch: int, should_stop: Callable[[], bool]) -> None:
        epochs.append(epoch)
        if in_preparation and epochs == [0, 1]:
            signal.raise_signal(signal.SIGTERM)
            assert should_stop()

    unbroken, broken, resumed = make_trainer(), make_trainer(), make_trainer()
    run(unbroken, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path / "broken", stop_at=None if in_preparation else 6, prepare_epoch=prepare)
    assert epochs == [0, 1]
    assert len((tmp_path / "broken/log.jsonl").read_text().splitlines()) == 1
    run(resumed, tmp_path / "broken", prepare_epoch=prepare)
    assert epochs == [0, 1, 1, 2]
    assert_same_state(unbroken.network, resumed.network)
    run(make_trainer(), tmp_path / "broken", prepare_epoch=prepare)
    assert epochs == [0, 1, 1, 2]  # all is done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("max_minutes", [0, 1e-9], ids=["whole epoch", "ended by its time"])
@pytest.mark.parametrize("swa_epochs", [0, 3])
def test_a_signal_during_validation_stops_at_once_and_going_on_begins_with_it(
    tmp_path: Path, number: int, max_minutes: float, swa_epochs: int
) -> None:
    epochs: list[int] = []

    def prepare(epoch: int, _should_stop: Callable[[], bool]) -> None:
        epochs.append(epoch)

    def evaluate(_network: nn.Module, should_stop: Callable[[], bool]) -> None:
        assert not should_stop()
        signal.raise_signal(number)
        assert should_stop()

    unbroken, broken, resumed = (make_trainer(max_minutes=max_minutes, swa_epochs=swa_epochs) for _ in range(3))
    whole = run(unbroken, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path / "broken", evaluate=evaluate)
    assert not (tmp_path / "broken/log.jsonl").exists()
    rest = run(resumed, tmp_path / "broken", prepare_epoch=prepare)
    assert [line["score"] for line in rest.history] == [line["score"] for line in whole.history]
    assert rest.ended == whole.ended
    assert epochs == ([0] if swa_epochs else []) + [line["epoch"] - 1 for line in rest.history[1:]]
    assert_same_parts(unbroken, resumed)


def test_a_batch_in_parts_gives_the_gradients_of_the_whole() -> None:
    plain = OptimizerConfig(name="sgd", momentum=0, learning_rate=2.5)
    whole, parts = make_trainer(optimizer=plain), make_trainer(optimizer=plain, accumulate=4)
    for trainer in (whole, parts):
        assert isinstance(trainer.network, TinyNetwork)
        trainer.network.body[2] = trainer.network.body[4] = nn.Identity()  # batch norm sees each part alone
        trainer.ema = None
        next(train_epoch(trainer, TinyLoader().epoch()))
    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_batch_that_does_not_divide_is_weighted_by_its_images() -> None:
    images, labels = torch.zeros(9, 1, 8, 8, dtype=torch.uint8), torch.arange(27).reshape(9, 3)
    parts = split_batch(MixedBatch(images, labels, labels, 1.0), 4)
    assert [len(part.images) for part in parts] == [3, 2, 2, 2]
    assert torch.equal(torch.cat([part.labels for part in parts]), labels)
    assert [len(part.images) for part in split_batch(MixedBatch(images, labels, labels, 1.0), 8)] == [3, 2, 2, 2]


def test_a_state_that_was_saved_with_other_images_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer()
    save_state(tmp_path / "state.pt", Progress(batch=3, num_batches=9), trainer.parts())
    with pytest.raises(InputError, match="an epoch had 9 batches, now it has 4"):
        run(trainer, tmp_path)


def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.requested
    signal.signal(signal.SIGHUP, previous)


def test_no_gradient_is_longer_than_the_clipping_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    config = OptimizerConfig(name="sgd", momentum=0, clip_norm=1e-3, weight_decay=0, learning_rate=2500)
    trainer = make_trainer(optimizer=config)
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    monkeypatch.setattr(trainer.schedule, "step", lambda: None)
    rate = trainer.optimizer.param_groups[0]["lr"]
    next(train_epoch(trainer, TinyLoader().epoch()))
    after = trainer.network.parameters()
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)]).norm().item()
    assert moved == pytest.approx(rate * 1e-3, rel=0.01)


def test_the_gradient_is_as_long_as_torch_says_and_unchanged_where_no_length_is_set() -> None:
    network = nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    before = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    expected = nn.utils.clip_grad_norm_(network.parameters(), float("inf"))
    assert clip_gradient(network, 0) == expected
    assert all(torch.equal(p.grad, b) for p, b in zip(network.parameters(), before, strict=True) if p.grad is not None)
    clip_gradient(network, 0.5)
    assert clip_gradient(network, 0).item() == pytest.approx(0.5, rel=1e-4)


def test_a_gradient_of_a_kernel_that_is_not_finite_shows_in_the_small_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(128, 128, 3, bias=False), nn.BatchNorm2d(128))
    output = network(torch.rand(2, 128, 4, 4))
    output.register_hook(lambda gradient: gradient * float("nan"))
    output.sum().backward()
    assert not clip_gradient(network, 0).isfinite()


def test_a_profiled_run_ends_with_the_same_weights_and_leaves_a_trace_of_three_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "SKIPPED_STEPS", 1)  # an epoch has four batches here
    plain, profiled = make_trainer(), make_trainer(profile=True)
    run(plain, tmp_path / "plain")
    run(profiled, tmp_path / "profiled")
    assert_same_state(plain.network, profiled.network)
    assert not (tmp_path / "plain/trace.json").exists()
    events = json.loads((tmp_path / "profiled/trace.json").read_text())["traceEvents"]
    assert sum(event["name"].startswith("ProfilerStep#") and event["ph"] == "X" for event in events) == 3
    assert sum(event["name"].startswith("Optimizer.step") for event in events) == 3
    assert "aten::" in capsys.readouterr().out


def test_training_ends_in_time_with_a_usable_model(tmp_path: Path) -> None:
    saved: list[str] = []
    progress = run(make_trainer(max_minutes=1e-9), tmp_path, saved=saved)
    assert progress.ended == "train.max_minutes=1e-09 have passed"
    assert len(progress.history) == 1
    assert "" in saved
    assert run(make_trainer(max_minutes=1e-9), tmp_path).history == progress.history  # it is not gone on with


def test_the_step_average_follows_the_one_of_each_step() -> None:
    network = nn.Linear(8, 8, bias=False)
    each, fourth = ModelEmaV3(network, decay=0.98, use_warmup=True), StepAverage(network, decay=0.98, use_warmup=True)
    far = 0.0
    for step in range(1, 401):
        with torch.no_grad():
            network.weight += 0.01
        each.update(network, step=step)
        fourth.update(network, step=step)
        assert torch.equal(each.module.weight, fourth.module.weight) == (step <= 8)
        far = max(far, (each.module.weight - fourth.module.weight).abs().max().item())
    assert far < 0.01 * 4  # what four steps move


def test_training_stops_when_patience_is_at_its_end(tmp_path: Path) -> None:
    trainer = make_trainer(patience=1, learning_rate=1e-9)
    trainer.ema = None
    assert run(trainer, tmp_path).ended == "train.patience=1 epochs brought no better score"


def test_each_cycle_of_warm_restarts_leaves_a_snapshot(tmp_path: Path) -> None:
    saved: list[str] = []
    run(make_trainer(optimizer=OptimizerConfig(schedule="restarts", cycles=3)), tmp_path, saved=saved)
    assert set(saved) >= {"-cycle0", "-cycle1", "-cycle2"}


def test_the_epoch_average_is_the_mean_of_the_weights_at_the_ends_of_the_last_epochs(tmp_path: Path) -> None:
    trainer = make_trainer(swa_epochs=2, optimizer=OptimizerConfig(learning_rate=1e-2, schedule="cosine"))
    ends: list[torch.Tensor] = []
    update = trainer.average.update_parameters  # type: ignore[union-attr]

    def keep(network: nn.Module) -> None:
        ends.append(next(network.parameters()).detach().clone())
        update(network)

    trainer.average.update_parameters = keep  # type: ignore[union-attr,method-assign]
    run(trainer, tmp_path)
    assert len(ends) == 2
    mean = next(trainer.average.module.parameters())  # type: ignore[union-attr]
    torch.testing.assert_close(mean, (ends[0] + ends[1]) / 2)


def test_batch_norm_is_measured_over_all_batches_as_torch_does_it() -> None:
    network, twin = TinyNetwork(), TinyNetwork()
    twin.load_state_dict(network.state_dict())
    for part in (network, twin):
        part.body[4] = nn.Identity()  # dropout draws other numbers
    images = [images for images, _ in TinyLoader().epoch()]
    measure_batch_norm(network, images, Precision(CPU, torch.float32))
    torch.optim.swa_utils.update_bn(images, twin)
    torch.testing.assert_close(network.state_dict(), twin.state_dict())


def test_images_grow_from_the_first_size_to_the_last_in_the_first_half() -> None:
    recipe = Recipe(TrainConfig(epochs=8, first_size=32), OptimizerConfig(), MixConfig(), image_size=64, seed=0)
    assert [recipe.size_in(epoch) for epoch in range(8)] == [32, 40, 48, 56, 64, 64, 64, 64]
    images = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    assert resize(images, 64) is images
    small = resize(images, 32)
    assert (small.shape, small.dtype) == ((2, 1, 32, 32), torch.uint8)
    assert small.float().mean().item() == pytest.approx(images.float().mean().item(), abs=1)


def test_a_damaged_state_is_refused_with_the_remedy(tmp_path: Path) -> None:
    trainer = make_trainer()
    path = tmp_path / "state.pt"
    save_state(path, Progress(), {"network": trainer.network})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"state\.pt: can't resume from it .* overwrite=true"):
        load_state(path, {"network": trainer.network})


def test_the_second_signal_stops_at_once() -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_inference_gives_probabilities_and_leaves_batch_norm_alone() -> None:
    network = TinyNetwork()
    before = copy.deepcopy(network)
    (predicted, *_) = infer(network, (images for images, _ in TinyLoader().epoch()), Precision(CPU, torch.float32))
    for head in HEADS:
        assert predicted[head.name].shape == (8, head.num_classes)
        assert torch.allclose(predicted[head.name].sum(dim=1), torch.ones(8), atol=1e-5)
    assert_same_state(network, before)


def test_a_batch_that_overflows_in_float16_is_computed_again_in_float32() -> None:
    network = TinyNetwork()
    network.get_parameter("body.1.weight").data.mul_(1e6)
    images = [images for images, _ in TinyLoader().epoch()]
    found, expected = (infer(network, images, Precision(CPU, dtype)) for dtype in (torch.float16, torch.float32))
    for ours, theirs in zip(found, expected, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_auto_precision_is_bfloat16_only_on_a_cpu_that_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda native=native: {"avx512_bf16": native})
        assert choose_precision("auto", CPU).dtype == expected


def test_a_device_that_is_not_there_is_refused() -> None:
    for name in ("cuda:99", "toaster"):
        with pytest.raises(ConfigError, match=f"train.device={name}"):
            choose_device(name)
