"""Worker processes draw the planned images and put them into shards."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from okkhor.config_rendering import HandConfig
from okkhor.processes import end_with_parent, signals_held_back
from okkhor.rendering.competition_format import put_image, shard_ranges, write_shard
from okkhor.rendering.fonts import Face, draw_mask, find_parts
from okkhor.rendering.glyphs import Glyph, trace_glyph
from okkhor.rendering.hands import Writer, vary_hand
from okkhor.rendering.handwriting import write_glyph
from okkhor.rendering.ink import draw_image
from okkhor.rendering.letter_forms import choose_variants, put_forms
from okkhor.rendering.plan import SPLITS, Item, Plan

SIGNS_BEFORE = "েৈোৌ"  # they stand, at least with a part, to the left of their letter and hang from the head line
IMAGES_PER_TASK = 128  # about a third of a second of one core


def draw_plan(workers: Executor, folder: Path, plan: Plan, ranges: HandConfig, num_shards: int, seed: int) -> None:
    """The parquet files of both splits."""
    render_images(workers, folder, plan, ranges, seed)
    write_shards(workers, folder, plan, num_shards)


@contextmanager
def start_workers(processes: int) -> Iterator[Executor]:
    """So many worker processes; on an error or an interrupt the waiting tasks are dropped.

    0: one for each core that this process may use. 1: a thread of it.
    """
    processes = processes or len(os.sched_getaffinity(0))
    workers: Executor
    if processes == 1:
        workers = ThreadPoolExecutor(1)
    else:
        # spawn: a fork of a process in which torch or OpenCV have started threads may hang.
        workers = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), prepare_worker)
        with signals_held_back(signal.SIGINT):
            for _ in range(processes):  # each task starts a process while none is at leisure
                workers.submit(os.getpid)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def prepare_worker() -> None:
    """One thread of OpenCV, and an end when the parent is killed; Ctrl-C is left to the parent."""
    cv2.setNumThreads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()


def render_images(workers: Executor, folder: Path, plan: Plan, ranges: HandConfig, seed: int) -> None:
    """All images of both splits into files of raw pixels."""
    num_images = len(plan.train) + len(plan.test)
    futures: dict[Future[None], int] = {}
    for number, split in enumerate(SPLITS):
        path = pixel_file(folder, split)
        path.touch()
        for items in group_items(plan.of(split)):
            futures[workers.submit(render_items, path, items, ranges, (seed, number))] = len(items)
    with tqdm(total=num_images, desc="rendering", unit=" images", disable=not sys.stderr.isatty()) as bar:
        for future in as_completed(futures):
            future.result()
            bar.update(futures[future])


def group_items(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The images in tasks that keep those of one grapheme together, so that a worker traces a glyph once."""
    of_grapheme: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        of_grapheme[item.grapheme.text].append(item)
    task: list[Item] = []
    for group in of_grapheme.values():
        task += group
        if len(task) >= IMAGES_PER_TASK:
            yield task
            task = []
    if task:
        yield task


def render_items(pixels: Path, items: Sequence[Item], ranges: HandConfig, seed: tuple[int, int]) -> None:
    """Draw images into a file of raw pixels. Each has its own generator, so that who draws it changes nothing."""
    file = os.open(pixels, os.O_WRONLY)
    try:
        for item in items:
            generator = np.random.default_rng((*seed, item.number))
            put_image(file, item.number, draw_grapheme(item.grapheme.text, item.writer, ranges, generator))
    finally:
        os.close(file)


def draw_grapheme(text: str, writer: Writer, ranges: HandConfig, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A scan (IMAGE_HEIGHT, IMAGE_WIDTH) uint8 of a grapheme as the writer writes it this time."""
    hand = vary_hand(writer.habits, ranges, generator)
    glyph = find_glyph(writer.face, text)
    variants = choose_variants(glyph, writer.face, hand["own_forms"], generator)
    if any(variant >= 0 for variant in variants):
        glyph = find_glyph_with_forms(writer.face, text, variants)
    return draw_image(write_glyph(glyph, writer, hand, generator), hand, generator)


@lru_cache(maxsize=1024)  # about 10 kB each
def find_glyph(face: Face, text: str) -> Glyph:
    """The strokes of a font's glyph."""
    glyph = trace_glyph(*draw_mask(face, text), find_parts(face, text))
    return replace(glyph, begins_with_sign=any(sign in text for sign in SIGNS_BEFORE))


@lru_cache(maxsize=1024)
def find_glyph_with_forms(face: Face, text: str, variants: tuple[int, ...]) -> Glyph:
    """The strokes of a font's glyph with forms of our own in the place of some parts: see letter_forms."""
    return put_forms(find_glyph(face, text), face, variants)


def write_shards(workers: Executor, folder: Path, plan: Plan, num_shards: int) -> None:
    """The parquet files of both splits, and the files of raw pixels away."""
    futures = [
        workers.submit(
            write_shard, pixel_file(folder, split), split, numbers, folder / f"{split}_image_data_{shard}.parquet"
        )
        for split in SPLITS
        for shard, numbers in enumerate(shard_ranges(len(plan.of(split)), num_shards))
    ]
    for future in tqdm(futures, desc="writing", unit=" files", disable=not sys.stderr.isatty()):
        future.result()
    for split in SPLITS:
        pixel_file(folder, split).unlink()


def pixel_file(folder: Path, split: str) -> Path:
    """Where the raw pixels of a split stand until its shards are written."""
    return folder / f"{split}.pixels"
