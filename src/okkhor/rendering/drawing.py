"""`draw_grapheme` draws an image, `start_workers` starts processes for it, `FreshImages` renders an epoch's images."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config_rendering import HandConfig
from okkhor.files import allocate_images
from okkhor.processes import end_with_parent, signals_held_back
from okkhor.rendering.fonts import Face, shapes_well
from okkhor.rendering.hands import Hand, draw_hand, vary_hand
from okkhor.rendering.handwriting import write_glyph
from okkhor.rendering.ink import draw_image
from okkhor.rendering.letter_forms import choose_variants, draw_forms

IMAGES_PER_TASK = 128  # about a third of a second of one core


def draw_grapheme(text: str, hand: Hand, ranges: HandConfig, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return a scan (IMAGE_HEIGHT, IMAGE_WIDTH) uint8, dark ink on bright paper, of a text that hand.face shapes well.

    ranges: those that the hand was drawn from; the image varies the hand's habits within them.
    """
    hand = vary_hand(hand, ranges, generator)
    variants = choose_variants(hand.face, text, hand.habits["own_forms"], generator)
    strokes = write_glyph(draw_forms(hand.face, text, variants), hand, generator)
    return draw_image(strokes, hand.habits, generator)


@contextmanager
def start_workers(processes: int) -> Iterator[Executor]:
    """Start worker processes; 0: one for each core that this process may use, 1: a thread instead of a process.

    On an error or an interrupt the waiting tasks are dropped.
    """
    processes = processes or len(os.sched_getaffinity(0))
    workers: Executor = ThreadPoolExecutor(1)
    if processes > 1:
        # spawn: a fork of a process in which torch or OpenCV have started threads may hang.
        workers = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _prepare_worker)
        with signals_held_back(signal.SIGINT):
            for _ in range(processes):  # each task starts a process, since none is idle yet
                workers.submit(os.getpid)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Give OpenCV one thread, and end the process when its parent is killed; Ctrl-C is left to the parent."""
    cv2.setNumThreads(1)
    end_with_parent()


@dataclass(frozen=True)
class FreshImages:
    """New images for an epoch of training, by new hands, at the network's own size.

    An image depends on seed, epoch and its number alone, whatever the number of processes.

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
