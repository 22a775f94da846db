"""Images that are rendered anew for each epoch: fixed by seed, epoch and number alone, and stopped when asked."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from okkhor.config_rendering import HandConfig
from okkhor.data.cache import open_cache
from okkhor.data.pixels import prepare_image
from okkhor.rendering import fresh
from okkhor.rendering.fonts import find_faces, shapes_well
from okkhor.rendering.fresh import FreshImages

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


def never() -> bool:
    return False


def render(images: FreshImages, path: Path, epoch: int) -> NDArray[np.uint8]:
    images.render(path, epoch, never)
    return np.array(open_cache(path))


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    return render(IMAGES, tmp_path_factory.mktemp("fresh") / "rendered.npy", 0)


def test_every_image_has_ink_on_paper_at_the_networks_size(first_epoch: NDArray[np.uint8]) -> None:
    assert first_epoch.shape == (140, SIZE, SIZE)
    assert first_epoch.dtype == np.uint8
    assert (first_epoch.max(axis=(1, 2)) > 80).all()
    assert (np.median(first_epoch, axis=(1, 2)) < 40).all()


def test_two_processes_draw_the_same_pixels_as_one(first_epoch: NDArray[np.uint8], tmp_path: Path) -> None:
    twice = render(replace(IMAGES, processes=2), tmp_path / "rendered.npy", 0)
    np.testing.assert_array_equal(twice, first_epoch)


def test_an_epoch_has_the_same_images_whenever_it_is_drawn(first_epoch: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "rendered.npy"
    second = render(IMAGES, path, 1)
    np.testing.assert_array_equal(render(IMAGES, path, 0), first_epoch)
    np.testing.assert_array_equal(render(IMAGES, path, 1), second)


def test_no_image_of_an_epoch_comes_back_in_another_or_with_another_seed(
    first_epoch: NDArray[np.uint8], tmp_path: Path
) -> None:
    other_epoch = render(IMAGES, tmp_path / "rendered.npy", 1)
    other_seed = render(replace(IMAGES, seed=1), tmp_path / "rendered.npy", 0)
    images = {image.tobytes() for part in (first_epoch, other_epoch, other_seed) for image in part}
    assert len(images) == 3 * 140


def test_whoever_has_the_file_open_sees_the_images_of_the_next_epoch(
    first_epoch: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "rendered.npy"
    IMAGES.render(path, 0, never)
    opened = open_cache(path)
    np.testing.assert_array_equal(opened, first_epoch)
    IMAGES.render(path, 1, never)
    assert not np.array_equal(opened, first_epoch)


def test_rendering_ends_early_when_it_is_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "IMAGES_PER_TASK", 2)
    path = tmp_path / "rendered.npy"
    IMAGES.render(path, 0, lambda: True)
    num_drawn = int(open_cache(path).any(axis=(1, 2)).sum())
    assert 0 < num_drawn < 140


def test_a_full_disk_is_told_before_the_first_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, _start: int, size: int) -> None:
        assert size > 140 * SIZE * SIZE
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        IMAGES.render(tmp_path / "rendered.npy", 0, never)


def test_half_of_the_images_start_from_the_handwritten_face_and_all_from_one_that_can() -> None:
    random = np.random.default_rng(0)
    faces = [IMAGES.choose_face("ক", random) for _ in range(400)]
    assert np.mean([face == HANDWRITTEN for face in faces]) == pytest.approx(0.5, abs=0.08)
    assert set(faces) == {HANDWRITTEN, *OTHERS}
    for text in ("ক্ষ্ণৌ", "দ্ঘা"):  # the handwritten face has not the first, another has not the second
        able = {face for face in (HANDWRITTEN, *OTHERS) if shapes_well(face, text)}
        assert {IMAGES.choose_face(text, random) for _ in range(200)} == able != {HANDWRITTEN, *OTHERS}
