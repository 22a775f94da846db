"""Ink is as wide as the pen, scraps stay at the border, any hand leaves ink on paper; and the processes that draw."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import CALM
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.limits import HAND_RANGES
from okkhor.rendering.drawing import draw_grapheme, start_workers
from okkhor.rendering.fonts import find_faces
from okkhor.rendering.hands import draw_hand
from okkhor.rendering.ink import draw_image, draw_scraps
from okkhor.rendering.strokes import Points
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

Random = np.random.Generator
RANGES = HandConfig()


@pytest.fixture
def random() -> Random:
    return np.random.default_rng(0)


def draw(text: str, ranges: HandConfig, seed: int) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return draw_grapheme(text, draw_hand(find_faces(())[0], ranges, generator), ranges, generator)


@pytest.mark.parametrize("end", [0, 1], ids=["lowest", "highest"])
@pytest.mark.parametrize("name", CALM)
def test_a_hand_at_the_end_of_what_settings_allow_leaves_ink_on_paper(name: str, end: int) -> None:
    changed: dict[str, Any] = {name: (HAND_RANGES[name][end],) * 2}
    if name == "darkness":
        changed["paper"] = (250, 255)  # the ink is dark enough to be told from any paper
    for seed, text in enumerate(("ক", "র্ক্ষি", "ঁ")):
        image = draw(text, replace(RANGES, **changed), seed)
        assert image.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
        if name != "paper":
            assert image.min() < np.median(image) - 30, text


def upright(pen: float) -> Points:
    """A line down the middle of the image: x, y and width in pixels."""
    return np.column_stack([np.full(20, 118.0), np.linspace(30, 110, 20), np.full(20, pen)]).astype(np.float32)


@pytest.mark.parametrize("pen", [3.0, 6.0])
def test_a_line_is_as_wide_as_the_pen(pen: float, random: Random) -> None:
    image = draw_image([upright(pen)], CALM | {"pen": pen}, random)
    ink = (255.0 - image[60:80]).sum(axis=1) / (255.0 - image[60:80].min(axis=1))
    assert ink.mean() == pytest.approx(pen, abs=0.7)


def test_scraps_lie_at_the_border_and_never_in_the_middle(random: Random) -> None:
    down, across = IMAGE_HEIGHT // 4, IMAGE_WIDTH // 4
    for _ in range(200):
        image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), 255, np.uint8)
        draw_scraps(image, CALM | {"pen": 8.0}, random)
        assert (image < 255).any()
        assert (image[down:-down, across:-across] == 255).all()


def test_a_pale_line_of_the_form_does_not_lighten_the_letter(random: Random) -> None:
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), 20, np.uint8)  # ink everywhere
    for _ in range(30):
        draw_scraps(image, CALM | {"darkness": 30.0}, random)
        assert image.max() == 20


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_images_have_scraps_as_often_as_the_hand_does(probability: float, random: Random) -> None:
    images = [draw_image([upright(4.0)], CALM | {"scraps": probability}, random) for _ in range(300)]
    assert np.mean([has_ink_at_the_border(image) for image in images]) == pytest.approx(probability, abs=0.08)


def has_ink_at_the_border(image: NDArray[np.uint8]) -> bool:
    outer = image.copy()
    outer[26:114, 110:126] = 255  # around the line in the middle
    return bool((outer < 250).any())


def test_a_worker_process_never_hears_ctrl_c_not_even_while_it_starts() -> None:
    """The parent stops it; heard in the middle of an import, it would end in a traceback on the terminal."""
    with start_workers(2) as workers:
        assert signal.SIGINT in workers.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_there_is_a_worker_for_each_core_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # as taskset does, or SLURM
    try:
        with start_workers(0) as workers:
            assert isinstance(workers, ThreadPoolExecutor)
    finally:
        os.sched_setaffinity(0, allowed)
