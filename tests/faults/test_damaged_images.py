"""Damaged images: `read` and the demo read them or refuse them in a sentence."""

import json
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from damage import BYTE_DAMAGE
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from tries import Mutation, check_error, property_settings, record

from okkhor.commands import demo
from okkhor.config import DataConfig, ModelConfig
from okkhor.errors import InputError
from okkhor.models.network import create_network
from okkhor.pipeline.reader import Reader, load_scan
from okkhor.pipeline.run import Member
from okkhor.schema import IMAGE_HEIGHT, IMAGE_WIDTH
from okkhor.training.device import Precision

MODES = {"png": ("L", "RGB", "RGBA", "P", "1", "I;16"), "tif": ("L", "RGB"), "gif": ("L",), "jpg": ("L", "RGB")}
MODES |= {"webp": ("RGB",), "bmp": ("L", "RGB"), "pgm": ("L",), "jp2": ("L",)}
HUGE = (0, 1, 15, 16, 17, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


def draw(kind: str, mode: str) -> bytes:
    """A letter of three strokes, as a file."""
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


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    """Each chunk's kind and content."""
    chunks, start = [], 8
    while start < len(png):
        (length,) = struct.unpack_from(">I", png, start)
        chunks.append((png[start + 4 : start + 8], png[start + 8 : start + 8 + length]))
        start += length + 12
    return chunks


def join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def damage_within(png: bytes, random: Random) -> bytes:
    """Chunks changed, dropped, repeated, shuffled, or another size in the header; each with its right checksum."""
    chunks = chunks_of(png)
    place = random.randrange(len(chunks))
    kind, content = chunks[place]
    match random.randrange(5):
        case 0:
            width, height = (random.choice((*HUGE, 120, 90)) for _ in range(2))
            chunks[0] = (b"IHDR", struct.pack(">II", width, height) + chunks[0][1][8:])
        case 1:
            chunks[place] = (kind, random.choice(BYTE_DAMAGE[:7])(content or b"\0", random))
        case 2:
            del chunks[place]
        case 3:
            chunks.insert(random.randrange(len(chunks)), (random.choice((kind, b"tEXt", b"PLTE", b"acTL")), content))
        case _:
            chunks = random.sample(chunks, len(chunks))
    return join(chunks)


RANDOM = st.integers(0, 2**32).map(Random)


def outcome_of(kind: str, read: Callable[[], None]) -> None:
    """Reads, or is refused in a line or two."""
    try:
        read()
    except InputError as error:
        record(kind, "refused")
        text = check_error(error)
        assert text.startswith(("the image: ", "/")), text
    else:
        record(kind, "read")


def check_read(path: Path) -> None:
    scan = load_scan(path)
    assert scan.shape == (IMAGE_HEIGHT, IMAGE_WIDTH)
    assert scan.dtype == np.uint8


@given(name=st.sampled_from(sorted(FILES)), mutation=st.sampled_from(BYTE_DAMAGE), random=RANDOM)
@property_settings(60, 10_000)
def test_a_damaged_image_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, name: str, mutation: Mutation, random: Random
) -> None:
    path = tmp_path_factory.getbasetemp() / "photo"
    path.write_bytes(mutation(FILES[name], random))
    outcome_of(f"read: {name.partition(',')[0]}", lambda: check_read(path))


@pytest.mark.parametrize("name", FILES)
def test_the_undamaged_images_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo").write_bytes(FILES[name])
    check_read(tmp_path / "photo")


@given(name=st.sampled_from([name for name in FILES if name.startswith("png")]), random=RANDOM)
@property_settings(60, 10_000)
def test_a_png_whose_chunks_are_damaged_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, name: str, random: Random
) -> None:
    path = tmp_path_factory.getbasetemp() / "photo"
    path.write_bytes(damage_within(FILES[name], random))
    outcome_of("read: png, in its chunks", lambda: check_read(path))


@pytest.fixture(scope="module")
def reader() -> Reader:
    """Of one small network with random weights."""
    network = create_network(ModelConfig(backbone="test_resnet"), image_size=32).eval()
    precision = Precision(torch.device("cpu"), torch.float32)
    return Reader(Member("x", "", [0]), (network,), DataConfig(size=32, crop_to_ink=True), precision)


@given(name=st.sampled_from(sorted(FILES)), mutation=st.sampled_from((*BYTE_DAMAGE, damage_within)), random=RANDOM)
@property_settings(30, 3000)
def test_the_demo_answers_a_damaged_drawing_or_says_what_is_wrong(
    reader: Reader, name: str, mutation: Mutation, random: Random
) -> None:
    drawing = FILES[name if mutation is not damage_within else "png, L"]
    outcome_of("demo", lambda: check_answer(reader, mutation(drawing, random)))


def check_answer(reader: Reader, drawing: bytes) -> None:
    answer = json.loads(json.dumps(demo.answer(reader, drawing), allow_nan=False))
    assert answer["text"] == answer["guesses"][0]["text"]


def test_the_demo_refuses_a_small_drawing_that_unpacks_to_many_pixels(reader: Reader) -> None:
    drawing = BytesIO()
    Image.new("1", (1100, 1100)).save(drawing, "PNG")
    with pytest.raises(InputError, match="1,100 x 1,100 pixels, expected at most 1,000,000"):
        demo.answer(reader, drawing.getvalue())
