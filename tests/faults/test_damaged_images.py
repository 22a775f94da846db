"""A damaged image is read, or refused in a sentence, by `./run.sh read` and by the demo."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from damage import BYTE_DAMAGE, check_error, damage_file
from helpers import write_blank_png
from PIL import Image, ImageDraw

from okkhor.demo.application import answer as answer_drawing
from okkhor.errors import InputError
from okkhor.pipeline.reader import load_scan, open_reader
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH

pytestmark = pytest.mark.slow

MODES = {"png": ("L", "RGB", "RGBA", "P", "1", "I;16"), "tif": ("L", "RGB"), "gif": ("L",), "jpg": ("L", "RGB")}
MODES |= {"webp": ("RGB",), "bmp": ("L", "RGB"), "pgm": ("L",), "jp2": ("L",)}
SIZES = (0, 1, 15, 16, 17, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 120, 90)


def draw(kind: str, mode: str) -> bytes:
    """Draw a letter of three strokes and return it as a file."""
    image = Image.new("L", (120, 90), 240)
    pen = ImageDraw.Draw(image)
    for stroke in ((20, 20, 100, 20), (60, 20, 60, 75), (60, 40, 30, 65)):
        pen.line(stroke, 25, 6)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    content = BytesIO()
    image.convert(mode).save(content, Image.registered_extensions()[f".{kind}"])
    return content.getvalue()


FILES = {f"{kind}, {mode}": draw(kind, mode) for kind, modes in MODES.items() for mode in modes}


def damage_chunks(png: bytes, random: Random) -> bytes:
    """Change, drop, repeat or shuffle chunks, or the size in the header, and write each with its right checksum."""
    chunks, start = [], 8
    while start < len(png):
        (length,) = struct.unpack_from(">I", png, start)
        chunks.append((png[start + 4 : start + 8], png[start + 8 : start + 8 + length]))
        start += length + 12
    place = random.randrange(len(chunks))
    kind, content = chunks[place]
    match random.randrange(5):
        case 0:
            width, height = (random.choice(SIZES) for _ in range(2))
            chunks[0] = (b"IHDR", struct.pack(">II", width, height) + chunks[0][1][8:])
        case 1:
            chunks[place] = (kind, random.choice(BYTE_DAMAGE[:6])(content or b"\0", random))
        case 2:
            del chunks[place]
        case 3:
            chunks.insert(random.randrange(len(chunks)), (random.choice((kind, b"tEXt", b"PLTE", b"acTL")), content))
        case _:
            random.shuffle(chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def check_read(path: Path) -> None:
    """Check that the image is read, or refused by its name."""
    try:
        scan = load_scan(path)
    except InputError as error:
        check_error(error, f"^{path}")
    else:
        assert scan.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
        assert scan.dtype == np.uint8


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_image_is_read_or_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "photo"
    path.write_bytes(FILES[name])
    assert load_scan(path).shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
    for seed in range(5 * len(BYTE_DAMAGE)):
        damage_file(path, FILES[name], seed)
        check_read(path)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("png")])
def test_a_png_with_damaged_chunks_is_read_or_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "photo"
    for seed in range(40):
        damage_file(path, FILES[name], seed, [damage_chunks])
        check_read(path)


def test_the_demo_answers_a_damaged_drawing_or_says_what_is_wrong(untrained_run: str) -> None:
    reader = open_reader(untrained_run)
    for seed in range(200):
        random = Random(seed)
        drawing = random.choice((*BYTE_DAMAGE, damage_chunks))(FILES["png, L"], random)
        try:
            answer = json.loads(json.dumps(answer_drawing(reader, drawing), allow_nan=False))
        except InputError as error:
            check_error(error, "^the image: ")
        else:
            assert answer["text"] == answer["guesses"][0]["text"]
    with pytest.raises(InputError, match="1,100 x 1,100 pixels, expected at most 1,000,000"):
        answer_drawing(reader, write_blank_png(1100, 1100))
