"""Fresh images for an epoch of training: new hands each time, at the network's own size, without files of whole pages.

An image depends on the seed and its number alone, whatever the number of processes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config_rendering import HandConfig
from okkhor.files import allocate_images
from okkhor.rendering.drawing import IMAGES_PER_TASK, draw_grapheme, start_workers
from okkhor.rendering.fonts import Face, shapes_well
from okkhor.rendering.hands import draw_writer

Prepare = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""A scan (IMAGE_HEIGHT, IMAGE_WIDTH) uint8 -> what the network sees of it, (size, size) uint8."""


@dataclass(frozen=True)
class FreshImages:
    """texts: the grapheme of each image; equal ones beside each other are drawn faster. prepare must be picklable."""

    texts: Sequence[str]
    size: int  # pixels
    handwritten: Face
    others: tuple[Face, ...]
    ranges: HandConfig
    prepare: Prepare
    seed: int
    processes: int  # 0: one per core

    def render(self, path: Path, epoch: int, should_stop: Callable[[], bool]) -> None:
        """Draw the images of an epoch into the file, in place where it is there; ends early where should_stop says so.

        The file is (N, size, size) uint8. Whoever has it mapped sees the new images.
        """
        if epoch == 0 or not path.exists():
            allocate_images(path, (len(self.texts), self.size, self.size))
        with start_workers(self.processes) as workers:
            self._render(workers, path, epoch, should_stop)

    def _render(self, workers: Executor, path: Path, epoch: int, should_stop: Callable[[], bool]) -> None:
        starts = range(0, len(self.texts), IMAGES_PER_TASK)
        blocks = [replace(self, texts=self.texts[start : start + IMAGES_PER_TASK]) for start in starts]
        tasks = zip(blocks, starts, strict=True)  # a task carries its own texts, not those of the whole epoch
        futures = [workers.submit(block.render_block, path, epoch, start) for block, start in tasks]
        with tqdm(total=len(self.texts), desc="rendering", unit="image", leave=False, disable=None) as bar:
            for future in as_completed(futures):
                if should_stop():
                    return
                try:
                    bar.update(future.result())
                except BrokenProcessPool:
                    if not should_stop():  # a signal to the whole group has ended the workers too
                        raise

    def render_block(self, path: Path, epoch: int, start: int) -> int:
        """Draw all of these images, of which the first is number `start` in the file; returns how many those were."""
        images = np.lib.format.open_memmap(path, "r+")
        for number, text in enumerate(self.texts, start):
            generator = np.random.default_rng((self.seed, epoch, number))
            writer = draw_writer(self.choose_face(text, generator), self.ranges, generator)
            images[number] = self.prepare(draw_grapheme(text, writer, self.ranges, generator))
        return len(self.texts)

    def choose_face(self, text: str, generator: np.random.Generator) -> Face:
        """The handwritten face half of the time, otherwise one of the others, of those that shape the text."""
        able = [face for face in self.others if shapes_well(face, text)]
        if shapes_well(self.handwritten, text) and (not able or generator.random() < 0.5):
            return self.handwritten
        return able[int(generator.integers(len(able)))]
