"""Fresh images are fixed by seed, epoch and number alone, and rendering ends early when it is told to stop."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.data.cache import open_cache
from okkhor.data.pixels import prepare_image
from okkhor.rendering.drawing import FreshImages
from okkhor.rendering.fonts import find_faces, shapes_well

SIZE = 32  # pixels
HANDWRITTEN, OTHERS = find_faces(())
IMAGES = FreshImages(
    texts=["ক"] * 70 + ["খি"] * 70,  # two tasks
    size=SIZE,
    handwritten=HANDWRITTEN,
    others=OTHERS,
    ranges=HandConfig(),
    prepare=partial(prepare_image, size=SIZE, crop_to_ink=True),
    seed=0,
    processes=1,
)


def render(images: FreshImages, path: Path, epoch: int) -> NDArray[np.uint8]:
    images.render(path, epoch, lambda: False)
    return np.array(open_cache(path))


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    return render(IMAGES, tmp_path_factory.mktemp("fresh") / "rendered.npy", 0)


def test_images_have_ink_on_paper_and_the_same_pixels_from_two_processes(
    first_epoch: NDArray[np.uint8], tmp_path: Path
) -> None:
    assert first_epoch.shape == (140, SIZE, SIZE)
    assert first_epoch.dtype == np.uint8
    assert (first_epoch.max(axis=(1, 2)) > 80).all()
    assert (np.median(first_epoch, axis=(1, 2)) < 40).all()
    np.testing.assert_array_equal(render(replace(IMAGES, processes=2), tmp_path / "rendered.npy", 0), first_epoch)


def test_an_image_is_fixed_by_seed_epoch_and_number_and_appears_in_the_open_file(
    first_epoch: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "rendered.npy"
    other_seed = render(replace(IMAGES, seed=1), path, 0)
    opened = open_cache(path)
    second = render(IMAGES, path, 1)
    np.testing.assert_array_equal(opened, second)
    np.testing.assert_array_equal(render(IMAGES, path, 0), first_epoch)
    images = {image.tobytes() for epoch in (first_epoch, second, other_seed) for image in epoch}
    assert len(images) == 3 * 140


def test_rendering_ends_early_when_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "rendered.npy"
    replace(IMAGES, texts=["ক"] * 640).render(path, 0, lambda: True)  # five tasks
    num_drawn = int(open_cache(path).any(axis=(1, 2)).sum())
    assert 0 < num_drawn < 640


def test_half_of_the_images_start_from_the_handwritten_face_and_all_from_one_that_can() -> None:
    random = np.random.default_rng(0)
    faces = [IMAGES.choose_face("ক", random) for _ in range(400)]
    assert np.mean([face == HANDWRITTEN for face in faces]) == pytest.approx(0.5, abs=0.08)
    assert set(faces) == {HANDWRITTEN, *OTHERS}
    for text in ("ক্ষ্ণৌ", "দ্ঘা"):  # the handwritten face lacks the first, another face the second
        able = {face for face in (HANDWRITTEN, *OTHERS) if shapes_well(face, text)}
        assert {IMAGES.choose_face(text, random) for _ in range(200)} == able != {HANDWRITTEN, *OTHERS}
