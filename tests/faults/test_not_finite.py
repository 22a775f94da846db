"""A loss that is no number ends training before it spoils anything, at its beginning and after going on."""

from itertools import count
from pathlib import Path

import pytest
import torch
from stages import FOLD, STAGES, Undisturbed, copy, read_made
from tries import call, record, times

from okkhor.training.loss import ThreeHeadLoss

TRAIN = STAGES["train"]


def spoil(patch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """The loss of this step, counted from the first of the process, is multiplied by the value."""
    plain, steps = ThreeHeadLoss.__call__, count()

    def spoiled(self: ThreeHeadLoss, *arguments: object) -> torch.Tensor:
        loss = plain(self, *arguments)  # type: ignore[arg-type]
        return loss * value if next(steps) == step else loss

    patch.setattr(ThreeHeadLoss, "__call__", spoiled)


def tensors_of(state: object) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in tensors_of(value)]
    return [state] if isinstance(state, torch.Tensor) else []


def test_a_loss_that_is_no_number_is_told_and_the_state_before_it_goes_on_to_the_same_weights(
    undisturbed: dict[str, Undisturbed], tmp_path: Path
) -> None:
    for number, value in enumerate((float("nan"), float("inf"), float("-inf"))[: times(1, 3)]):
        for step in range(3, times(4, 6)):  # of six
            folder = copy(undisturbed["train"], tmp_path / f"{number}-{step}")
            for first in (step, 0)[: times(1, 2)]:  # 0: going on, it is the first
                with pytest.MonkeyPatch.context() as patch:
                    spoil(patch, first, value)
                    status, _, told = call(folder, *TRAIN.arguments)
                assert status == 2
                assert f"The loss is {value} at step {step}: training stopped before it." in told
                assert "optimizer.learning_rate" in told
                state = torch.load(folder / FOLD / "state.pt", weights_only=True)
                assert all(tensor.isfinite().all() for tensor in tensors_of(state))
                assert not (folder / FOLD / "metrics.json").exists()
                record("train: loss is no number", "told")
            assert call(folder, *TRAIN.arguments)[0] == 0
            assert read_made(folder, TRAIN) == undisturbed["train"].made
            record("train: typed again", "same bytes")
