"""`FreshImages` renders new images for an epoch of training, by new hands, at the network's own size.

An image depends on seed, epoch and its number alone, whatever the number of processes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
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
from okkhor.rendering.hands import draw_hand


@dataclass(frozen=True)
class FreshImages:
    """How to render an epoch's images.

    texts: the grapheme of each image; equal neighbours are drawn faster. prepare: turns a scan (IMAGE_HEIGHT,
    IMAGE_WIDTH) uint8 into what the network sees, (size, size) uint8; it must be picklable.
    """

    texts: Sequence[str]
    size: int  # pixels
    handwritten: Face
    others: tuple[Face, ...]
    ranges: HandConfig
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    seed: int
    processes: int  # 0: one per core

    def render(self, path: Path, epoch: int, should_stop: Callable[[], bool]) -> None:
        """Draw the images of an epoch into an .npy file (N, size, size) uint8, in place if it is there.

        A process that has the file mapped sees the new images. Rendering ends early when should_stop() is true.
        """
        if epoch == 0 or not path.exists():
            allocate_images(path, (len(self.texts), self.size, self.size))
        starts = range(0, len(self.texts), IMAGES_PER_TASK)
        # A task carries its own texts, not those of the whole epoch.
        blocks = [replace(self, texts=self.texts[start : start + IMAGES_PER_TASK]) for start in starts]
        tasks = zip(blocks, starts, strict=True)
        with (
            start_workers(self.processes) as workers,
            tqdm(total=len(self.texts), desc="rendering", unit=" images", leave=False, disable=None) as bar,
        ):
            futures = [workers.submit(block.render_block, path, epoch, start) for block, start in tasks]
            for future in as_completed(futures):
                if should_stop():
                    return
                try:
                    bar.update(future.result())
                except BrokenProcessPool:
                    if not should_stop():  # a signal to all processes has ended the workers too
                        raise

    def render_block(self, path: Path, epoch: int, start: int) -> int:
        """Draw all of these images, as those from number `start` on in the file; return how many they are."""
        images = np.lib.format.open_memmap(path, "r+")
        for number, text in enumerate(self.texts, start):
            generator = np.random.default_rng((self.seed, epoch, number))
            hand = draw_hand(self.choose_face(text, generator), self.ranges, generator)
            images[number] = self.prepare(draw_grapheme(text, hand, self.ranges, generator))
        return len(self.texts)

    def choose_face(self, text: str, generator: np.random.Generator) -> Face:
        """Return a face that shapes the text: half of the time the handwritten one, otherwise any other."""
        able = [face for face in self.others if shapes_well(face, text)]
        if shapes_well(self.handwritten, text) and (not able or generator.random() < 0.5):
            return self.handwritten
        return able[int(generator.integers(len(able)))]
