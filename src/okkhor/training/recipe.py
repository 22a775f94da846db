"""What the number of an epoch decides."""

from dataclasses import dataclass

from okkhor.config import MixConfig, OptimizerConfig, TrainConfig

SIZE_STEP = 8  # pixels: sizes between the first and the last are multiples of it


@dataclass(frozen=True)
class Recipe:
    """The settings that the loop reads. image_size: height and width of the cached images, pixels."""

    train: TrainConfig
    optimizer: OptimizerConfig
    mix: MixConfig
    image_size: int
    seed: int

    def size_in(self, epoch: int) -> int:
        """Height and width that the images of an epoch are resized to: pixels, growing in the first half."""
        if not self.train.first_size:
            return self.image_size
        share = min(1.0, 2 * epoch / self.train.epochs)
        grown = self.train.first_size + share * (self.image_size - self.train.first_size)
        return self.image_size if share == 1 else int(grown // SIZE_STEP * SIZE_STEP) or self.train.first_size

    def mixes_in(self, epoch: int) -> bool:
        return epoch < self.train.epochs - self.mix.cooldown_epochs

    def averages_after(self, epoch: int) -> bool:
        """Whether the weights at this epoch's end are among those of stochastic weight averaging."""
        return epoch >= self.train.epochs - self.train.swa_epochs

    def snapshot_after(self, epoch: int) -> int | None:
        """The number of the cycle that ends with this epoch, where there are several."""
        length = self.train.epochs // self.optimizer.cycles
        ends = self.optimizer.cycles > 1 and (epoch + 1) % length == 0
        return (epoch + 1) // length - 1 if ends else None

    def is_stale(self, epoch: int, best_epoch: int) -> bool:
        """Whether `patience` epochs, up to and with this one, brought no better score."""
        return 0 < self.train.patience <= epoch - best_epoch
