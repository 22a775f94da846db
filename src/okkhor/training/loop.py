"""`train_epoch`: the steps of training; `infer`: the forward pass of prediction."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from okkhor.errors import InputError
from okkhor.predictions import Predictions
from okkhor.schema import HEAD_NAMES, MARGINALS
from okkhor.training.device import Precision
from okkhor.training.distributed import World
from okkhor.training.mixing import MixedBatch, mix_batch
from okkhor.training.recipe import Recipe

SMALL = 2**16  # weights; the gradients of parameters up to this size are checked in each step
MOST_SKIPS = 50  # steps in a row: from 65,536 the scale of the loss has then fallen to 2^-34

Batch = tuple[Tensor, Tensor]

Loss = Callable[[dict[str, Tensor], Tensor, Tensor, float], Tensor]
"""Compute the mean loss of a batch, a float32 scalar. Arguments: the logits of each head, the labels (B, K), the labels
of the images mixed in, how much of each image is its own (0 to 1)."""


@dataclass
class Trainer:
    """What changes while a network is trained, and the rules by which it changes.

    ema: the running mean of the weights. average: their mean over the ends of the last epochs (SWA). start_epoch:
    called with the network and the epoch's number before each epoch, when the network is in training mode. skips: steps
    in a row, up to the last one, that were skipped in float16.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    precision: Precision
    loss: Loss
    recipe: Recipe
    ema: ModelEmaV3 | None = None
    average: AveragedModel | None = None
    start_epoch: Callable[[nn.Module, int], None] = lambda _network, _epoch: None
    world: World = field(default_factory=World)
    skips: int = 0

    @property
    def best_network(self) -> nn.Module:
        """The network to predict with: the running mean of the weights (EMA), where there is one."""
        return self.network if self.ema is None else self.ema.module

    def parts(self) -> dict[str, Any]:
        """Return everything with a state that a resume needs, by name."""
        names = ("network", "optimizer", "schedule", "scaler", "ema", "average")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def train_epoch(trainer: Trainer, batches: Iterable[Batch], epoch: int = 0, first_batch: int = 0) -> Iterator[float]:
    """Take one step for each batch and yield its loss; NaN where the scaler of float16 skipped the step.

    All randomness of a step comes from the seed and the numbers of epoch, batch and rank. batches: images
    (B, 1, H, W) uint8 and labels (B, K) int64, on any device. first_batch: the number of the first one in the epoch.
    Raises InputError before a step whose loss is not finite, in float16 after MOST_SKIPS of them in a row; the weights
    stay as they were.
    """
    recipe, device = trainer.recipe, trainer.precision.device
    trainer.network.train()
    trainer.start_epoch(trainer.network, epoch)
    network = trainer.world.wrap(trainer.network, device)
    for number, (images, labels) in enumerate(batches, first_batch):
        words = (recipe.seed, epoch, number, trainer.world.rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))  # of dropout
        images = resize(images.to(device, non_blocking=True), recipe.size_in(epoch))
        labels = labels.to(device, non_blocking=True)
        batch = MixedBatch(images, labels, labels, 1.0)
        if recipe.mixes_in(epoch):
            batch = mix_batch(images, labels, recipe.mix, words)
        yield train_step(trainer, network, batch)


def train_step(trainer: Trainer, network: nn.Module, batch: MixedBatch) -> float:
    """Take one optimizer step, after one backward pass for each micro-batch. Return the mean loss.

    A step whose gradients overflow in float16 is skipped, and NaN is returned: weights, batch norm, moments, EMA and
    schedule stay as they were; the scaler lowers its scale.
    """
    scaler, optimizer, device = trainer.scaler, trainer.optimizer, trainer.precision.device
    norms = [b for b in trainer.network.buffers() if b.is_floating_point()] if scaler.is_enabled() else []
    kept = list(torch._foreach_mul(norms, 1.0)) if norms else []  # copies, by few launches
    micro_batches = split_batch(batch, trainer.recipe.train.accumulate)
    total = torch.zeros((), device=device)
    for number, part in enumerate(micro_batches, 1):
        # several processes average their gradients once a step: in the backward pass of the last micro-batch
        is_last = number == len(micro_batches)
        with nullcontext() if is_last or not isinstance(network, DistributedDataParallel) else network.no_sync():
            with trainer.precision.autocast():
                logits = network(part.images)
            loss = trainer.loss(logits, part.labels, part.partners, part.share)
            loss = loss * (len(part.images) / len(batch.images))
            scaler.scale(loss).backward()
            total += loss.detach()
    scaler.unscale_(optimizer)
    norm = clip_gradient(trainer.network, trainer.recipe.optimizer.clip_norm)
    # read once, when all of the step's kernels but the optimizer's are queued: a GPU is idle while it is waited for
    overflows = scaler._found_inf_per_device(optimizer).values() if scaler.is_enabled() else ()
    own, length, *overflown = torch.stack([total, norm.to(total), *overflows]).tolist()
    value = trainer.world.add([own], device)[0] / trainer.world.size
    if scaler.is_enabled():
        scaler.update()
        if any(overflown):
            return skip_step(trainer, norms, kept)
        trainer.skips = 0
    check_finite(trainer, "loss", value)
    check_finite(trainer, "length of the gradient", length)
    optimizer.step()  # not scaler.step: where the optimizer is not fused, it would wait for what is known here
    optimizer.zero_grad(set_to_none=True)
    trainer.schedule.step()
    if trainer.ema is not None:
        trainer.ema.update(trainer.network, step=trainer.schedule.last_epoch)
    return value


def skip_step(trainer: Trainer, norms: list[Tensor], kept: list[Tensor]) -> float:
    """Forget a step of float16. norms: the statistics of batch norms; kept: copies of them from before the step.

    Raises InputError after MOST_SKIPS in a row.
    """
    trainer.optimizer.zero_grad(set_to_none=True)
    if norms:
        torch._foreach_copy_(norms, kept)
    trainer.skips += 1
    if trainer.skips >= MOST_SKIPS:
        raise InputError(
            f"{trainer.skips} steps in a row, before step {trainer.schedule.last_epoch}, had gradients or a loss that "
            f"float16 can't hold, at last with a loss scale of {trainer.scaler.get_scale():.1g}: training stopped. "
            "Try a lower optimizer.learning_rate, or train.precision=float32."
        )
    return math.nan


def clip_gradient(network: nn.Module, longest: float) -> Tensor:
    """Clip the gradient to a norm, unless `longest` is 0. Return the norm before, to see whether it is finite.

    Without clipping it is that of small parameters alone (norms, biases): a value that is not finite reaches a kernel's
    gradient through the batch norm behind it. Reading all 85 MB of gradients takes 4 % of a step on 64 x 64 images.
    """
    if longest:
        return nn.utils.clip_grad_norm_(network.parameters(), longest)
    return nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None and p.numel() <= SMALL])


def check_finite(trainer: Trainer, name: str, value: float) -> None:
    """Raise InputError before the step for a value that would spoil the weights."""
    if not math.isfinite(value):
        trainer.optimizer.zero_grad(set_to_none=True)
        raise InputError(
            f"The {name} is {value} at step {trainer.schedule.last_epoch}: training stopped before it. "
            "Try a lower optimizer.learning_rate, or train.precision=float32."
        )


def split_batch(batch: MixedBatch, num_parts: int) -> list[MixedBatch]:
    """Split a batch into micro-batches of two images or more (batch norm)."""
    num_parts = max(1, min(num_parts, len(batch.images) // 2))
    tensors = (batch.images, batch.labels, batch.partners)
    parts = zip(*(tensor.tensor_split(num_parts) for tensor in tensors), strict=True)
    return [MixedBatch(images, labels, partners, batch.share) for images, labels, partners in parts]


def resize(images: Tensor, size: int) -> Tensor:
    """Resize images: (B, 1, H, W) uint8 -> (B, 1, size, size) uint8."""
    if images.shape[2] == size:
        return images
    small = functional.interpolate(images.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.round_().to(torch.uint8)


@torch.inference_mode()
def infer(network: nn.Module, batches: Iterable[Tensor], precision: Precision) -> Iterator[dict[str, Tensor]]:
    """Yield for each batch of images, by head, the probabilities (B, num_classes) float32 on the CPU.

    A grapheme head adds its own probabilities of each head's classes, under the names of MARGINALS. A batch that
    overflows in float16 is computed again in float32.
    """
    network.eval()
    for images in batches:
        on_device = images.to(precision.device, non_blocking=True)
        with precision.autocast():
            logits = network(on_device)
        found = {name: values.float().softmax(dim=1).cpu() for name, values in logits.items()}
        if precision.dtype == torch.float16 and not all(values.isfinite().all() for values in found.values()):
            found = {name: values.softmax(dim=1).cpu() for name, values in network(on_device).items()}
        yield found


def join_batches(parts: Iterable[Mapping[str, Tensor]], image_ids: NDArray[np.str_]) -> Predictions:
    """Join what `infer` yields to one table. Raises InputError for an image whose probabilities are not finite."""
    by_name: dict[str, list[Tensor]] = {}
    for part in parts:
        for name, values in part.items():
            by_name.setdefault(name, []).append(values)
    joined = {name: torch.cat(by_name.pop(name)).numpy() for name in list(by_name)}
    for name, probabilities in joined.items():
        wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
        if len(wrong):
            raise InputError(
                f"The network answers {image_ids[wrong[0]]} with {name} that is no number. "
                "Try train.precision=float32, or train again with a lower optimizer.learning_rate."
            )
    has_graphemes = all(name in joined for name in MARGINALS.values())
    marginals = {head: joined[name] for head, name in MARGINALS.items()} if has_graphemes else None
    return Predictions(image_ids, {name: joined[name] for name in HEAD_NAMES}, marginals=marginals)
