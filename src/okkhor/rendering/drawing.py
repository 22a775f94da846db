"""`draw_grapheme` draws one image; `render_sample` draws a planned sample in worker processes and writes its shards."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.files import allocate_images
from okkhor.processes import end_with_parent, signals_held_back
from okkhor.rendering.competition_format import shard_ranges, write_shard
from okkhor.rendering.hands import Hand, vary_hand
from okkhor.rendering.handwriting import write_glyph
from okkhor.rendering.ink import draw_image
from okkhor.rendering.letter_forms import choose_variants, draw_forms
from okkhor.rendering.plan import SPLITS, Item, Plan
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

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


def render_sample(folder: Path, plan: Plan, sample: SampleConfig, ranges: HandConfig) -> None:
    """Write the parquet files of both splits into the folder."""
    with start_workers(sample.processes) as workers:
        pixels = {split: folder / f"{split}.npy" for split in SPLITS}
        futures = []
        for number, split in enumerate(SPLITS):
            allocate_images(pixels[split], (len(plan[split]), IMAGE_HEIGHT, IMAGE_WIDTH))
            items = sorted(plan[split], key=lambda item: item.grapheme.text)  # a worker traces few glyphs
            for start in range(0, len(items), IMAGES_PER_TASK):
                task = items[start : start + IMAGES_PER_TASK]
                futures.append(workers.submit(render_items, pixels[split], task, ranges, (sample.seed, number)))
        with tqdm(total=sum(map(len, plan.values())), desc="rendering", unit=" images", disable=None) as bar:
            for future in as_completed(futures):
                bar.update(future.result())
        shards = [
            workers.submit(write_shard, pixels[split], split, numbers, folder / f"{split}_image_data_{shard}.parquet")
            for split in SPLITS
            for shard, numbers in enumerate(shard_ranges(len(plan[split]), sample.num_shards))
        ]
        for written in tqdm(shards, desc="writing", unit=" files", disable=None):
            written.result()
        for path in pixels.values():
            path.unlink()


def render_items(pixels: Path, items: Sequence[Item], ranges: HandConfig, seed: tuple[int, int]) -> int:
    """Draw images into an .npy file and return their number; each has its own generator, whichever worker draws it."""
    images = np.lib.format.open_memmap(pixels, "r+")
    for item in items:
        generator = np.random.default_rng((*seed, item.number))
        images[item.number] = draw_grapheme(item.grapheme.text, item.hand, ranges, generator)
    return len(items)
