"""Images of any format, size and depth become one plane of gray, or are refused in a sentence."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import Refused
from numpy.typing import NDArray
from PIL import Image, ImageFile

from okkhor.data.photos import read_photo
from okkhor.errors import InputError

GRAY = np.add.outer(np.arange(0, 120, 2), np.arange(0, 90, 1)).astype(np.uint8)  # (60, 90), different at every corner


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.gif", "a.pgm"])
def test_formats_without_loss_give_the_pixels_back(tmp_path: Path, name: str) -> None:
    Image.fromarray(GRAY).save(tmp_path / name)
    assert np.array_equal(read_photo(tmp_path / name), GRAY)
    assert np.array_equal(read_photo(str(tmp_path / name)), read_photo(tmp_path / name))


def test_a_path_an_image_and_an_array_are_read_alike(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    for photo in (tmp_path / "a.png", Image.fromarray(GRAY), GRAY, GRAY[:, :, None], np.stack([GRAY] * 3, axis=2)):
        assert np.array_equal(read_photo(photo), GRAY)


def test_colours_become_their_brightness(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "b.tif")
    assert read_photo(tmp_path / "a.png")[0, 0] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=1)
    assert read_photo(tmp_path / "b.tif")[0, 0] == 0


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    colours = np.zeros((8, 8, 4), np.uint8)
    colours[:, 4:, 3] = 255  # black, its left half transparent
    image = Image.fromarray(colours).convert("LA" if mode in ("LA", "PA") else "RGBA")
    if mode == "P":
        image = Image.fromarray(np.where(colours[:, :, 3] > 0, 1, 0).astype(np.uint8), "L").convert("P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        image.save(tmp_path / "a.png", transparency=0)
    else:
        image.convert(mode).save(tmp_path / "a.png") if mode != "PA" else image.save(tmp_path / "a.png")
    gray = read_photo(tmp_path / "a.png")
    assert (gray[:, :4] == 255).all()
    assert (gray[:, 4:] == 0).all()
    assert read_photo(colours)[0].tolist() == [255] * 4 + [0] * 4


def test_sixteen_bits_and_fractions_are_brought_to_eight(tmp_path: Path) -> None:
    deep = GRAY.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep.astype(np.int32)).save(tmp_path / "b.tif")
    Image.fromarray((GRAY / 255).astype(np.float32)).save(tmp_path / "c.tif")
    for photo in (tmp_path / "a.png", tmp_path / "b.tif", tmp_path / "c.tif", deep, GRAY / 255):
        assert np.array_equal(read_photo(photo), GRAY)
    assert np.array_equal(read_photo(GRAY > 100), np.where(GRAY > 100, 255, 0))


@pytest.mark.parametrize(
    ("orientation", "turned"), [(3, np.rot90(GRAY, 2)), (6, np.rot90(GRAY, 3)), (8, np.rot90(GRAY))]
)
def test_a_photo_is_turned_as_the_camera_was_held(tmp_path: Path, orientation: int, turned: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GRAY).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "a.png"), turned)


def test_a_large_jpeg_is_decoded_small(tmp_path: Path) -> None:
    Image.fromarray(np.kron(GRAY, np.ones((100, 100), np.uint8))).save(tmp_path / "a.jpg")
    gray = read_photo(tmp_path / "a.jpg")
    assert gray.shape == (1500, 2250)
    assert (
        np.abs(np.asarray(Image.fromarray(gray).resize((90, 60), Image.Resampling.BOX)).astype(int) - GRAY).max() <= 2
    )


def test_what_is_no_image_is_refused_with_its_path(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "text.png").write_text("a letter")
    (tmp_path / "empty.jpg").touch()
    Image.fromarray(GRAY).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:70])
    refused(["none.png", "no such image"], read_photo, tmp_path / "none.png")
    refused(["text.png", "not an image"], read_photo, tmp_path / "text.png")
    refused(["empty.jpg", "not an image"], read_photo, tmp_path / "empty.jpg")
    refused(["half.png", "can't be read"], read_photo, tmp_path / "half.png")
    refused(["can't be read", "directory"], read_photo, tmp_path)


def write_blank_png(width: int, height: int) -> bytes:
    """A whole one, all black, of 1 bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_small_file_of_89_megapixels_is_refused_before_any_is_decoded(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(write_blank_png(9400, 9400))
    assert path.stat().st_size < 500_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it is decoded"))
    refused(["bomb.png", "9,400 x 9,400 pixels", "at most 50,000,000"], read_photo, path)
    refused(["9,400 x 9,400"], read_photo, Image.open(path))


def test_a_header_of_billions_of_pixels_is_refused(tmp_path: Path, refused: Refused) -> None:
    content = write_blank_png(1, 1)
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    refused(["bomb.png", "more than 50,000,000 pixels"], read_photo, tmp_path / "bomb.png")


def test_a_jpeg_of_more_pixels_is_read_since_it_is_decoded_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000_000)  # above which Pillow warns, and below twice that
    Image.new("L", (3600, 2700), 200).save(tmp_path / "phone.jpg")
    Image.new("L", (3600, 2700), 200).save(tmp_path / "phone.png")
    assert read_photo(tmp_path / "phone.jpg", 5_000_000).shape == (1350, 1800)
    with pytest.raises(InputError, match="3,600 x 2,700"):
        read_photo(tmp_path / "phone.png", 5_000_000)


def test_a_format_that_starts_other_programs_is_not_read(tmp_path: Path, refused: Refused) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.eps")
    refused(["a.eps", "not an image of a kind that is read here"], read_photo, tmp_path / "a.eps")


@pytest.mark.parametrize(
    "pixels",
    [
        *(np.zeros((0, 9)), np.zeros((3, 9, 9)), np.zeros(9), np.zeros((9, 9), complex)),
        *(np.full((9, 9), np.nan), np.full((9, 9), 200.0), np.full((9, 9), -1)),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}{pixels.max(initial=0)}",
)
def test_an_array_that_is_no_image_is_refused(pixels: NDArray[np.generic], refused: Refused) -> None:
    refused(["the image:", "xpected"], read_photo, pixels)
