"""Recipe: what the settings say for an epoch, by its number."""

from dataclasses import dataclass

from okkhor.config import MixConfig, OptimizerConfig, TrainConfig

SIZE_STEP = 8  # pixels: sizes between the first and the last are multiples


@dataclass(frozen=True)
class Recipe:
    """The settings of the training loop. image_size: height and width of the cached images, pixels."""

    train: TrainConfig
    optimizer: OptimizerConfig
    mix: MixConfig
    image_size: int
    seed: int

    def size_in(self, epoch: int) -> int:
        """Height and width of an epoch's images, pixels: they grow from first_size in the first half of the epochs."""
        if not self.train.first_size:
            return self.image_size
        share = min(1.0, 2 * epoch / self.train.epochs)
        grown = self.train.first_size + share * (self.image_size - self.train.first_size)
        return self.image_size if share == 1 else int(grown // SIZE_STEP * SIZE_STEP) or self.train.first_size

    def mixes_in(self, epoch: int) -> bool:
        return epoch < self.train.epochs - self.mix.cooldown_epochs

    def averages_after(self, epoch: int) -> bool:
        """Whether stochastic weight averaging (SWA) takes the weights at the end of this epoch."""
        return epoch >= self.train.epochs - self.train.swa_epochs

    def snapshot_after(self, epoch: int) -> int | None:
        """The number of the cycle that ends with this epoch; None if none ends, or if there is only one cycle."""
        length = self.train.epochs // self.optimizer.cycles
        ends = self.optimizer.cycles > 1 and (epoch + 1) % length == 0
        return (epoch + 1) // length - 1 if ends else None

    def stops_early(self, epoch: int, best_epoch: int) -> bool:
        """Early stopping: whether the last `patience` epochs, this one included, brought no better score."""
        return 0 < self.train.patience <= epoch - best_epoch
