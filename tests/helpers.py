"""Functions that several test files use: a small folder in Kaggle's format, predictions, and `call` for a command.

The pixels of image k show the number k (`paint_number`), so a test can tell which image it has, whatever the order of
the rows. train.csv and test.csv list the images in another order than the shards.
"""

import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import ImageFont, features
from torch import nn

from okkhor.__main__ import main
from okkhor.config import Config, DataConfig, DecodeConfig, ModelConfig
from okkhor.config_rendering import HandConfig
from okkhor.data.shards import Shard
from okkhor.label_triples import Labels, TripleCounts, count_triples, write_triples
from okkhor.models.network import create_network
from okkhor.pipeline.fold import finish_fold, save_predictor
from okkhor.pipeline.run import write_config
from okkhor.predictions import Predictions
from okkhor.rendering.fonts import Face
from okkhor.schema import HEAD_NAMES, HEADS, IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS, SUBMISSION_ORDER
from okkhor.scoring.decoding import decode
from okkhor.scoring.metric import competition_score

PROJECT = Path(__file__).resolve().parent.parent
PIXEL_COLUMNS = [str(pixel) for pixel in range(NUM_PIXELS)]
GRAPHEMES = ["ক", "কি", "ক্র", "খ", "খা", "গ্যু"]
TRIPLES = [(0, 0, 0), (0, 2, 0), (0, 0, 5), (2, 0, 0), (2, 1, 0), (3, 4, 4)]  # root, vowel, consonant of each
NUM_TRAIN, NUM_TEST = 24, 4  # images, in two shards each
ROWS, COLUMNS = 2, 4  # cells that show an image's number in binary
DARK, PAPER = 20, 250  # gray values
SMALL = 32  # pixels: the image size of the fixture small_cache

Blocks = Iterator[tuple[NDArray[np.str_], NDArray[np.uint8]]]
Damage = Callable[..., Path]
Refused = Callable[..., str]


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, from this folder: a process of its own would take seconds to start."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), error.getvalue())


class Project:
    """A copy of the files that ./run.sh needs, so that tests write nothing into the real project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("run.sh", "pyproject.toml", "requirements.lock"):
            shutil.copy(PROJECT / name, folder / name)
        for name in ("src", "configs"):
            (folder / name).symlink_to(PROJECT / name)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ./run.sh in a process group of its own."""
        return subprocess.Popen(
            ["bash", str(self.folder / "run.sh"), *arguments],
            env=os.environ | {"OKKHOR_PYTHON": sys.executable},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run ./run.sh to its end."""
        process = self.start(*arguments)
        out, error = process.communicate(timeout=280)
        assert process.returncode == status, out + error
        return subprocess.CompletedProcess(arguments, status, out, error)

    def call(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command in this process."""
        found = call(self.folder, *arguments)
        assert found.returncode == status, found.stdout + found.stderr
        return found

    def read(self, path: str) -> pd.DataFrame:
        """Read a csv file of the project."""
        return pd.read_csv(self.folder / path)


def wait_until(condition: Callable[[], object], seconds: float = 240, told: Callable[[], str] = str) -> None:
    """Wait for a condition. told: what the process has printed, for the message."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def pillow_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Open the font in Pillow, which has its own HarfBuzz and FreeType. size: pixels per em."""
    if not features.check("raqm"):
        pytest.skip("Pillow shapes with FriBiDi, which is not installed here")
    font = ImageFont.truetype(face.path, size, layout_engine=ImageFont.Layout.RAQM)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


def random_images(number: int = 2, size: int = 64, seed: int = 0) -> torch.Tensor:
    """(number, 1, size, size) uint8."""
    return torch.randint(0, 256, (number, 1, size, size), dtype=torch.uint8, generator=torch.manual_seed(seed))


def assert_same_state(network: nn.Module, other: nn.Module) -> None:
    """Same names, and each tensor bit for bit."""
    state, expected = network.state_dict(), other.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def write_blank_png(width: int, height: int) -> bytes:
    """Return a valid PNG file, all black, 1 bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def paint_number(number: int) -> NDArray[np.uint8]:
    """(137, 236) uint8: number + 1 in binary on white paper, a dark cell for each 1. number: 0 to 254."""
    image = np.full((IMAGE_HEIGHT, IMAGE_WIDTH), PAPER, np.uint8)
    for bit, (top, left) in enumerate(np.ndindex(ROWS, COLUMNS)):
        if (number + 1) >> bit & 1:
            rows = slice(top * IMAGE_HEIGHT // ROWS, (top + 1) * IMAGE_HEIGHT // ROWS)
            columns = slice(left * IMAGE_WIDTH // COLUMNS, (left + 1) * IMAGE_WIDTH // COLUMNS)
            image[rows, columns] = DARK
    return image


def read_number(image: NDArray[np.uint8]) -> int:
    """Read the number in a prepared image (bright ink on 0) of any size."""
    height, width = image.shape
    bits = 0
    for bit, (top, left) in enumerate(np.ndindex(ROWS, COLUMNS)):
        ink = image[(2 * top + 1) * height // (2 * ROWS), (2 * left + 1) * width // (2 * COLUMNS)]
        bits |= int(ink > 127) << bit
    return bits - 1


def number_of(image_id: str) -> int:
    """Train_7 -> 7."""
    return int(image_id.rpartition("_")[2])


def shard_table(split: str, numbers: Sequence[int]) -> pa.Table:
    """Make the table of a shard with the images of these numbers."""
    pixels = np.stack([paint_number(number) for number in numbers]).reshape(len(numbers), NUM_PIXELS).T
    image_ids = pa.array([f"{split}_{number}" for number in numbers], pa.string())
    return pa.table([image_ids, *map(pa.array, np.ascontiguousarray(pixels))], names=["image_id", *PIXEL_COLUMNS])


def write_shard(table: pa.Table, path: Path, rows_per_group: int | None = None) -> None:
    """Write a shard without dictionary and statistics, which would take half of the time."""
    pq.write_table(table, path, rows_per_group, use_dictionary=False, write_statistics=False)


def write_schema(schema: pa.Schema, path: Path) -> None:
    """Write a parquet file without rows: this takes a hundredth of the time of a few rows."""
    pq.ParquetWriter(path, schema).close()


def write_competition(root: Path) -> None:
    """Write the small folder: 24 train images of 6 graphemes and 4 test images, in two shards each."""
    random = np.random.default_rng(7)
    for split, number in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        for shard, numbers in enumerate(np.split(np.arange(number), 2)):
            write_shard(shard_table(split.capitalize(), numbers.tolist()), root / f"{split}_image_data_{shard}.parquet")
    train = pd.DataFrame(
        [
            (f"Train_{k}", *TRIPLES[k % len(GRAPHEMES)], GRAPHEMES[k % len(GRAPHEMES)])
            for k in random.permutation(NUM_TRAIN).tolist()
        ],
        columns=["image_id", *(head.name for head in HEADS), "grapheme"],
    )
    test = pd.DataFrame(
        [(f"Test_{k}_{name}", f"Test_{k}", name) for k in (2, 0, 3, 1) for name in SUBMISSION_ORDER],
        columns=["row_id", "image_id", "component"],
    )
    class_map = pd.DataFrame(
        [(head.name, label, f"<{head.name} {label}>") for head in HEADS for label in range(head.num_classes)],
        columns=["component_type", "label", "component"],
    )
    submission = pd.DataFrame({"row_id": test["row_id"], "target": 0})
    tables = {"train": train, "test": test, "class_map": class_map, "sample_submission": submission}
    for name, table in tables.items():
        table.to_csv(root / f"{name}.csv", index=False)


def make_predictions(image_ids: list[str], seed: int = 0, labelled: bool = True) -> Predictions:
    """Make random predictions for these images."""
    random = np.random.default_rng(seed)
    probabilities = {
        head.name: random.dirichlet(np.ones(head.num_classes), len(image_ids)).astype(np.float32) for head in HEADS
    }
    labels = Labels.from_columns({head.name: random.integers(0, head.num_classes, len(image_ids)) for head in HEADS})
    return Predictions(np.array(image_ids), probabilities, labels if labelled else None)


def make_run(project: Path, name: str, data: DataConfig, seed: int = 0) -> None:
    """Write two finished folds of the small folder: an untrained network, and predictions of which half are right.

    A third of the images are of graphemes that training is said to have lacked.
    """
    model = ModelConfig(backbone="resnet10t")
    for fold in (0, 1):
        folder = project / f"runs/{name}/fold{fold}"
        folder.mkdir(parents=True)
        write_config(Config(run=name, data=data, model=model, decode=DecodeConfig("prior")), folder / "config.yaml")
        numbers = np.arange(fold, NUM_TRAIN, 2)
        labels = Labels(np.array(TRIPLES)[numbers % len(TRIPLES)])
        table = make_predictions([f"Train_{number}" for number in numbers], seed + fold)
        for head, probabilities in table.probabilities.items():
            probabilities[numbers % 4 < 2] /= 2
            probabilities[numbers % 4 < 2, labels[head][numbers % 4 < 2]] += 0.5
        table = replace(table, labels=labels, unseen=numbers % 3 == 0)
        save_predictor(folder, create_network(model, data.size), table, "")
        write_triples(count_triples(labels), folder / "graphemes.csv")
        epochs = [{"epoch": epoch, "train_loss": 1 / epoch, "score": epoch / 9, "seconds": 0.5} for epoch in (1, 2)]
        (folder / "log.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
        finish_fold(folder)


def uneven_graphemes(number: int = 300) -> TripleCounts:
    """Random label triples in which every class occurs, with 1 to 200 images each."""
    random = np.random.default_rng(0)
    columns = [
        np.concatenate([np.arange(head.num_classes), random.integers(0, head.num_classes, number - head.num_classes)])
        for head in HEADS
    ]
    labels = np.unique(np.stack([random.permutation(column) for column in columns], axis=1), axis=0)
    return TripleCounts(labels, random.integers(1, 200, len(labels)))


def honest_predictions(
    seed: int, num_images: int, graphemes: TripleCounts, signal: float = 3.0, permuted: bool = False
) -> Predictions:
    """Images of these graphemes, as frequent as there, and each head's exact posterior given a noisy observation.

    permuted: with the labels in another order, so that they mean nothing.
    """
    random = np.random.default_rng(seed)
    picks = random.choice(len(graphemes.triples), num_images, p=graphemes.images / graphemes.images.sum())
    labels = Labels(graphemes.triples[picks])
    probabilities = {}
    for name, counts in graphemes.class_counts().items():
        seen = signal * np.eye(len(counts))[labels[name]] + random.normal(size=(num_images, len(counts)))
        odds = np.exp(signal * seen) * counts / counts.sum()
        probabilities[name] = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    if permuted:
        labels = labels.rows(random.permutation(num_images))
    return Predictions(np.array([f"Train_{seed}_{k}" for k in range(num_images)]), probabilities, labels)


def score_of(table: Predictions, decoded: Labels | None = None) -> float:
    """The score of the most probable classes, or of other decisions."""
    assert table.labels is not None
    return competition_score(table.labels, decode(table.probabilities) if decoded is None else decoded)["score"]


def assert_same(one: Predictions, other: Predictions) -> None:
    """Compare two tables bit for bit."""
    assert one.image_ids.tolist() == other.image_ids.tolist()
    for part in ("probabilities", "labels", "marginals"):
        ours, theirs = getattr(one, part), getattr(other, part)
        assert (ours is None) == (theirs is None), part
        for name in HEAD_NAMES if ours is not None else ():
            np.testing.assert_array_equal(ours[name], theirs[name])
    np.testing.assert_equal(one.unseen, other.unseen)


def paint_blocks(shard: Shard, scratch: Path) -> Blocks:  # noqa: ARG001
    """Stand for read_images, in two blocks, without the seconds that 32,332 columns take."""
    for part in np.array_split(shard.image_ids, 2):
        yield part, np.stack([paint_number(number_of(image_id)) for image_id in part])


CALM = {
    **{field.name: 0.0 for field in fields(HandConfig) if field.name != "unsteadiness"},
    **{"size": 60.0, "pen": 4.0, "paper": 255.0, "aspect": 1.0, "ascent": 1.0, "descent": 1.0},
    **{"roundness": 0.05, "softness": 0.1},  # 0 would be another smoothing to OpenCV
}
"""The habits of a hand that writes what the font shows, 60 pixels high, black on white."""
