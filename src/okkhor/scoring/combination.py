"""How an ensemble's members become one table, as it was chosen out of fold."""

from collections.abc import Sequence
from dataclasses import dataclass

from okkhor.predictions import Predictions
from okkhor.scoring.ensembling import Mean, combine
from okkhor.scoring.stacking import Stacking, apply_stacking


@dataclass(frozen=True)
class Combination:
    """A mean, weighted where weights are given (one for each member); or stacking, where that is given."""

    mean: Mean = "arithmetic"
    weights: tuple[float, ...] | None = None
    stacking: Stacking | None = None

    def apply(self, members: Sequence[Predictions], names: Sequence[str]) -> Predictions:
        """The members' predictions of the same images as one, in the order of the first."""
        if self.stacking is not None:
            return apply_stacking(self.stacking, members, names)
        return combine(members, names, self.mean, self.weights)
