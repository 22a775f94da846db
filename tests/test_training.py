"""Training: the loss, the precision, the step that must not be taken, and going on exactly where it stopped."""

import copy
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn import functional

from okkhor.config import OptimizerConfig
from okkhor.errors import ConfigError, InputError
from okkhor.predictions import Predictions
from okkhor.schema import HEADS
from okkhor.training.checkpoint import Progress, load_state, save_state
from okkhor.training.fit import fit
from okkhor.training.interrupt import stop_on_signals
from okkhor.training.loop import Batch, Trainer, infer, train_epoch
from okkhor.training.loss import make_log_priors, three_head_loss
from okkhor.training.optimizer import make_optimizer, make_schedule
from okkhor.training.precision import Precision, choose_device, choose_precision

CPU = torch.device("cpu")


class TinyNetwork(nn.Module):
    """Three linear heads with dropout, so that training needs the random state too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
        self.heads = nn.ModuleDict({head.name: nn.Linear(32, head.num_classes) for head in HEADS})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(images.float() / 255)
        return {name: head(features) for name, head in self.heads.items()}


class TinyBatches:
    """Four batches an epoch, made from the epoch's number; `first_batch` is where to go on."""

    batch_sampler = None

    def __init__(self) -> None:
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Batch]:
        for batch in range(self.first_batch, 4):
            generator = torch.Generator().manual_seed(100 * self.epoch + batch)
            images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=generator)
            yield images, torch.stack([torch.arange(8) % head.num_classes for head in HEADS], dim=1)


def make_trainer(dtype: torch.dtype = torch.float32, learning_rate: float = 1e-2) -> Trainer:
    torch.manual_seed(0)
    network = TinyNetwork()
    config = OptimizerConfig(learning_rate=learning_rate)
    optimizer = make_optimizer(network, config)
    precision = Precision(CPU, dtype)
    return Trainer(
        network=network,
        ema=ModelEmaV3(network, decay=0.9, use_warmup=True),
        optimizer=optimizer,
        schedule=make_schedule(optimizer, config, num_steps=12),
        scaler=precision.make_scaler(),
        precision=precision,
        loss=three_head_loss,
    )


def run(trainer: Trainer, folder: Path, stop_at: int | None = None) -> Progress:
    """Fit for three epochs of four batches; stop_at: the validation or batch during which a signal comes."""
    batches = TinyBatches()
    seen = 0

    def count(logits: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return three_head_loss(logits, labels)

    trainer.loss = count
    nothing = Predictions(np.array([], dtype=np.str_), {})
    return fit(
        trainer,
        batches,  # type: ignore[arg-type]
        batches,
        validate=lambda network: ({"score": float(next(network.parameters()).detach().sum())}, nothing),
        save_best=lambda _network, _predictions: None,
        num_epochs=3,
        folder=folder,
    )


def test_the_loss_is_the_mean_cross_entropy_weighted_two_one_one() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = {head.name: torch.randn(5, head.num_classes, generator=generator) for head in HEADS}
    labels = torch.stack([torch.arange(5) % head.num_classes for head in HEADS], dim=1)
    root, vowel, consonant = (functional.cross_entropy(logits[h.name], labels[:, i]) for i, h in enumerate(HEADS))
    assert torch.allclose(three_head_loss(logits, labels), (2 * root + vowel + consonant) / 4)


def test_logit_adjustment_makes_the_best_constant_answer_treat_all_classes_alike() -> None:
    """Without images to tell by, plain logits learn the frequencies; adjusted ones learn to prefer no class."""
    labels = torch.tensor([[0, 0, 0]] * 90 + [[1, 1, 1]] * 10)
    counts = {head.name: labels[:, column].numpy() for column, head in enumerate(HEADS)}
    for strength, expected in ((0.0, np.log(9)), (1.0, 0.0)):
        logits = {head.name: torch.zeros(head.num_classes, requires_grad=True) for head in HEADS}
        optimizer = torch.optim.Adam(list(logits.values()), lr=0.05)
        log_priors = make_log_priors(counts, strength, CPU)
        for _ in range(400):
            optimizer.zero_grad()
            same = {name: values.expand(len(labels), -1) for name, values in logits.items()}
            three_head_loss(same, labels, log_priors=log_priors).backward()
            optimizer.step()
        for values in logits.values():
            assert values[0].item() - values[1].item() == pytest.approx(expected, abs=0.05)
            assert (values[2:] < values[:2].min()).all()  # classes without images stay improbable


@pytest.mark.parametrize("num_steps", [1, 2, 5, 10])
def test_a_schedule_of_a_few_steps_is_fine(num_steps: int) -> None:
    optimizer = make_optimizer(TinyNetwork(), OptimizerConfig())
    schedule = make_schedule(optimizer, OptimizerConfig(warmup=0.2), num_steps)
    for _ in range(num_steps):
        assert 0 < float(schedule.get_last_lr()[0]) <= OptimizerConfig().learning_rate
        optimizer.step()
        schedule.step()


def test_norms_and_biases_are_not_decayed_and_every_parameter_is_optimised_once() -> None:
    network = TinyNetwork()
    decayed, plain = make_optimizer(network, OptimizerConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(p) for n, p in network.named_parameters() if p.ndim == 2}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))


def test_the_learning_rate_rises_to_its_top_and_falls_to_nearly_zero() -> None:
    optimizer = make_optimizer(TinyNetwork(), OptimizerConfig())
    schedule = make_schedule(optimizer, OptimizerConfig(learning_rate=1.0, warmup=0.25), num_steps=101)
    rates = []
    for _ in range(101):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        if len(rates) < 101:
            schedule.step()
    assert np.argmax(rates) == pytest.approx(25, abs=1)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_lowers_the_loss_in_each_precision(dtype: torch.dtype) -> None:
    trainer = make_trainer(dtype)
    batches = TinyBatches()
    losses = []
    for _ in range(3):
        losses += list(train_epoch(trainer, batches))
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_the_gradient_scaler_of_float16_trains_the_same_as_no_scaler_does() -> None:
    plain = list(train_epoch(make_trainer(), TinyBatches()))
    trainer = make_trainer()
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    assert list(train_epoch(trainer, TinyBatches())) == pytest.approx(plain, rel=1e-4)
    assert Precision(CPU, torch.float16).make_scaler().is_enabled()
    assert not Precision(CPU, torch.bfloat16).make_scaler().is_enabled()


def test_a_scaler_skips_the_step_whose_gradients_overflow() -> None:
    trainer = make_trainer()
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    trainer.loss = lambda logits, labels: three_head_loss(logits, labels) * 1e20
    before = copy.deepcopy(trainer.network.heads.state_dict())  # type: ignore[union-attr]
    next(train_epoch(trainer, TinyBatches()))
    after = trainer.network.heads.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert trainer.scaler.get_scale() < 2.0**127


def test_a_loss_that_is_not_finite_stops_training_before_the_step() -> None:
    trainer = make_trainer()
    trainer.loss = lambda logits, labels: three_head_loss(logits, labels) * float("nan")
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    with pytest.raises(InputError, match="The loss is nan at step 0"):
        next(train_epoch(trainer, TinyBatches()))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


@pytest.mark.parametrize("stop_at", [1, 4, 6, 11])
def test_training_that_was_stopped_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    unbroken = make_trainer()
    whole = run(unbroken, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(make_trainer(), tmp_path / "stopped", stop_at)
    torch.manual_seed(999)
    resumed = make_trainer()
    rest = run(resumed, tmp_path / "stopped")
    for one, other in ((unbroken.network, resumed.network), (unbroken.best_network, resumed.best_network)):
        states = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
        assert all(torch.equal(value, twin) for (_, value), twin in states)
    strip = partial(map, lambda line: {key: value for key, value in line.items() if key != "seconds"})
    assert list(strip(whole.history)) == list(strip(rest.history))
    assert [line["epoch"] for line in rest.history] == [1, 2, 3]


def test_a_damaged_state_is_refused_with_the_remedy(tmp_path: Path) -> None:
    trainer = make_trainer()
    path = tmp_path / "state.pt"
    save_state(path, Progress(), {"network": trainer.network})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"state\.pt: can't go on from this file .* overwrite=true"):
        load_state(path, {"network": trainer.network}, CPU)


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"progress": Path}, path)
    with pytest.raises(InputError, match="can't go on"):
        load_state(path, {}, CPU)


def test_the_second_signal_stops_at_once() -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_inference_gives_probabilities_and_leaves_batch_norm_alone() -> None:
    network = TinyNetwork()
    before = copy.deepcopy(network.state_dict())
    (predicted, *_) = infer(network, TinyBatches(), Precision(CPU, torch.float32))
    for head in HEADS:
        assert predicted[head.name].shape == (8, head.num_classes)
        assert torch.allclose(predicted[head.name].sum(dim=1), torch.ones(8), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_auto_precision_is_bfloat16_only_on_a_cpu_that_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda native=native: {"avx512_bf16": native})
        assert choose_precision("auto", CPU).dtype == expected


def test_a_device_that_is_not_there_is_refused() -> None:
    for name in ("cuda:99", "toaster"):
        with pytest.raises(ConfigError, match=f"train.device={name}"):
            choose_device(name)
