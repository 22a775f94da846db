"""Images of any format, size and depth become one plane of gray, and photos of a grapheme scans of it."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import Refused
from numpy.typing import NDArray
from PIL import Image, ImageFile

from okkhor.config_rendering import HandConfig
from okkhor.data.photos import INK_HEIGHT, INK_WIDTH, read_photo, scan_photo
from okkhor.data.pixels import prepare_image
from okkhor.errors import InputError
from okkhor.rendering.drawing import draw_grapheme
from okkhor.rendering.fonts import find_faces
from okkhor.rendering.hands import make_hands
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

Gray = NDArray[np.uint8]
GRAY = np.add.outer(np.arange(0, 120, 2), np.arange(0, 90, 1)).astype(np.uint8)  # (60, 90), different at every corner


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.gif", "a.pgm"])
def test_formats_without_loss_give_the_pixels_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(GRAY).save(path)
    for photo in (path, str(path), Image.open(path), GRAY, GRAY[:, :, None], np.stack([GRAY] * 3, axis=2)):
        assert np.array_equal(read_photo(photo), GRAY)


def test_colours_become_their_brightness(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "b.tif")
    assert read_photo(tmp_path / "a.png")[0, 0] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=1)
    assert read_photo(tmp_path / "b.tif")[0, 0] == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    colours = np.zeros((8, 8, 4), np.uint8)
    colours[:, 4:, 3] = 255  # black, its left half transparent
    if mode == "P":
        image = Image.fromarray((colours[:, :, 3] > 0).astype(np.uint8), "L").convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.save(tmp_path / "a.png", transparency=0)
    else:
        Image.fromarray(colours).convert(mode).save(tmp_path / "a.png")
    for photo in (tmp_path / "a.png", colours):
        assert read_photo(photo).tolist() == [[255] * 4 + [0] * 4] * 8


def test_white_ink_on_transparency_is_read_like_black_ink() -> None:
    black, white = np.zeros((150, 240, 4), np.uint8), np.full((150, 240, 4), 255, np.uint8)
    for photo in (black, white):
        photo[:, :, 3] = 0
        photo[40:100, 60:70, 3] = photo[40:50, 60:150, 3] = 255
    assert np.array_equal(scan_photo(read_photo(white)), scan_photo(read_photo(black)))


def test_sixteen_bits_and_fractions_are_brought_to_eight(tmp_path: Path) -> None:
    deep = GRAY.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep.astype(np.int32)).save(tmp_path / "b.tif")
    Image.fromarray((GRAY / 255).astype(np.float32)).save(tmp_path / "c.tif")
    for photo in (tmp_path / "a.png", tmp_path / "b.tif", tmp_path / "c.tif", deep, GRAY / 255):
        assert np.array_equal(read_photo(photo), GRAY)
    assert np.array_equal(read_photo(GRAY > 100), np.where(GRAY > 100, 255, 0))


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_photo_is_turned_as_the_camera_was_held(tmp_path: Path, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GRAY).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "a.png"), np.rot90(GRAY, turns))


def test_a_large_jpeg_is_decoded_small_and_so_may_have_more_pixels_than_a_png(tmp_path: Path) -> None:
    large = Image.fromarray(np.kron(GRAY, np.ones((100, 100), np.uint8)))
    for name in ("phone.jpg", "phone.png"):
        large.save(tmp_path / name)
    gray = read_photo(tmp_path / "phone.jpg", 5_000_000)
    assert gray.shape == (1500, 2250)
    small = np.asarray(Image.fromarray(gray).resize((90, 60), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - GRAY).max() <= 2
    with pytest.raises(InputError, match="9,000 x 6,000"):
        read_photo(tmp_path / "phone.png", 5_000_000)


def test_what_is_no_image_is_refused_with_its_path(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "text.png").write_text("a letter")
    (tmp_path / "empty.jpg").touch()
    Image.fromarray(GRAY).save(tmp_path / "whole.png")
    Image.fromarray(GRAY).save(tmp_path / "program.eps")  # Pillow would start Ghostscript
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:70])
    refused(["none.png", "no such image"], read_photo, tmp_path / "none.png")
    for name in ("text.png", "empty.jpg", "program.eps"):
        refused([name, "not an image in a known format"], read_photo, tmp_path / name)
    refused(["half.png", "can't be read"], read_photo, tmp_path / "half.png")
    refused(["can't be read", "directory"], read_photo, tmp_path)


def test_a_small_file_of_many_pixels_is_refused_before_any_is_decoded(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (9400, 9400)).save(path)
    assert path.stat().st_size < 500_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it is decoded"))
    refused(["bomb.png", "9,400 x 9,400 pixels", "at most 50,000,000"], read_photo, path)
    refused(["9,400 x 9,400"], read_photo, Image.open(path))
    content = path.read_bytes()  # with a header of billions of pixels
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    refused(["bomb.png", "3600000000 pixels", "at most 50,000,000 pixels"], read_photo, path)


def test_an_array_that_is_no_image_is_refused(refused: Refused) -> None:
    for shape in ((0, 9), (3, 9, 9), (9,)):
        refused(["the image: an array of shape", "expected (H, W)"], read_photo, np.zeros(shape))
    for value in (np.nan, 200.0, -1, 1j):
        refused(["the image:", "out of range, expected uint8"], read_photo, np.full((9, 9), value))


@pytest.fixture(scope="module", params=["ক্ষি", "র্গা", "ড়"])
def scan(request: pytest.FixtureRequest) -> Gray:
    generator = np.random.default_rng(3)
    ranges = HandConfig(scraps=(0.0, 0.0), cut=(0.0, 0.0))  # of ink at the edge a photo has more
    handwritten, others = find_faces(())
    return draw_grapheme(request.param, make_hands(handwritten, others, 1, ranges, generator)[0], ranges, generator)


def widen(scan: Gray) -> Gray:
    return np.pad(scan, ((80, 150), (200, 60)), constant_values=252)


def enlarge(scan: Gray, factor: float) -> Gray:
    return cv2.resize(scan, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)


def cut_close(scan: Gray) -> Gray:
    rows, columns = np.flatnonzero((scan < 128).any(axis=1)), np.flatnonzero((scan < 128).any(axis=0))
    return scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shade(scan: Gray, soft: float) -> Gray:
    """A photo: yellowish grainy paper under a lamp, with the shadow of a hand whose edge is `soft` pixels wide."""
    photo = enlarge(widen(scan), 2).astype(np.float32)
    down, right = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    photo *= 0.9 - 0.4 * right / photo.shape[1]
    photo *= 1 - 0.225 * (1 + np.tanh((down - 300 - 0.4 * right) / (2 * soft)))
    photo += np.random.default_rng(0).normal(0, 4, photo.shape)
    return photo.clip(0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Gray], Gray]] = {
    "more paper": widen,
    "four times as large": lambda scan: enlarge(scan, 4),
    "cut close": cut_close,
    "white on black": lambda scan: 255 - widen(scan),
    "white on black, as large as a scan": lambda scan: 255 - scan,
    "faint on gray": lambda scan: (widen(scan) * 0.25 + 100).astype(np.uint8),
    "a soft shadow": lambda scan: shade(scan, 40),
    "a hard shadow": lambda scan: shade(scan, 1.5),
    "chalk on a board in the light": lambda scan: 255 - shade(scan, 40),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_photo_becomes_a_scan_like_the_competitions(scan: Gray, change: Callable[[Gray], Gray]) -> None:
    assert scan_photo(scan) is scan
    result = scan_photo(change(scan))
    assert result.dtype == np.uint8
    assert result.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
    expected, found = (prepare_image(image, 48, crop_to_ink=True).ravel() for image in (scan, result))
    assert np.corrcoef(expected, found)[0, 1] > 0.9
    height, width = cut_close(result).shape
    assert 0.87 < max(height / INK_HEIGHT, width / INK_WIDTH) < 1.05
    close = cut_close(scan)
    assert width / height == pytest.approx(close.shape[1] / close.shape[0], rel=0.1)  # not stretched
    assert (result[[0, -1]] > 250).all()
    assert np.percentile(result[result < 128], 25) < 60


@pytest.mark.parametrize("shape", [(137, 236), (900, 600), (40, 40)])
def test_blank_paper_and_a_photo_of_a_few_pixels_are_refused(shape: tuple[int, int], refused: Refused) -> None:
    grain = np.random.default_rng(0).normal(0, 5, shape)
    light = np.linspace(220, 90, shape[1])  # the lamp is on the left
    for blank in (np.zeros(shape), np.full(shape, 255), 240 + grain, light + grain):
        refused(["the image: no ink"], scan_photo, blank.clip(0, 255).astype(np.uint8))
        refused(["a.png:", "x 15 pixels", "16"], scan_photo, blank[:15].astype(np.uint8), "a.png")


def test_specks_do_not_move_the_letter(scan: Gray) -> None:
    photo = enlarge(widen(scan), 2)
    expected = scan_photo(photo)
    for row, column in ((30, 40), (200, 900), (700, 500)):
        photo[row : row + 2, column : column + 2] = 0
    assert np.corrcoef(expected.ravel(), scan_photo(photo).ravel())[0, 1] > 0.99
