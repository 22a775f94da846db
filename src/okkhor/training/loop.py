"""The steps of training, and inference."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from okkhor.errors import InputError
from okkhor.training.precision import Precision

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


@dataclass
class Trainer:
    """What changes while a network is trained."""

    network: nn.Module
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    precision: Precision
    loss: Loss

    @property
    def best_network(self) -> nn.Module:
        """The one to predict with: the running mean of the weights, where there is one."""
        return self.network if self.ema is None else self.ema.module


def train_epoch(trainer: Trainer, batches: Iterable[Batch]) -> Iterator[float]:
    """One step a batch; yields its loss.

    Raises InputError before the step whose loss is not finite, so the weights stay as they were.
    """
    trainer.network.train()
    for images, labels in to_device(batches, trainer.precision.device):
        with trainer.precision.autocast():
            logits = trainer.network(images)
        loss = trainer.loss(logits, labels)
        value = loss.item()
        if not math.isfinite(value):
            raise InputError(
                f"The loss is {value} at step {trainer.schedule.last_epoch}: training stopped before it. "
                "Try a lower optimizer.learning_rate, or train.precision=float32."
            )
        trainer.scaler.scale(loss).backward()
        trainer.scaler.step(trainer.optimizer)
        trainer.scaler.update()
        trainer.optimizer.zero_grad(set_to_none=True)
        trainer.schedule.step()
        if trainer.ema is not None:
            trainer.ema.update(trainer.network, step=trainer.schedule.last_epoch)
        yield value


@torch.inference_mode()
def infer(
    network: nn.Module, batches: Iterable[torch.Tensor | Batch], precision: Precision
) -> Iterator[dict[str, torch.Tensor]]:
    """For each batch and head, the probabilities (B, num_classes) float32, on the CPU, in the order of the batches."""
    network.eval()
    for batch in batches:
        images = batch if isinstance(batch, torch.Tensor) else batch[0]
        with precision.autocast():
            logits = network(images.to(precision.device, non_blocking=True))
        yield {name: values.float().softmax(dim=1).cpu() for name, values in logits.items()}


def to_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    for images, labels in batches:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
