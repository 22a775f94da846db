"""The rendered sample: the competition's format, the label grammar, the same pixels from any number of processes."""

import csv
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.rendering.competition_format import put_image
from okkhor.rendering.drawing import start_workers
from okkhor.rendering.graphemes import compose, decompose, order_by_coverage, read_graphemes
from okkhor.rendering.hands import Writer
from okkhor.rendering.plan import plan_sample
from okkhor.rendering.sample import sample_matches, write_sample
from okkhor.schema import HEAD_NAMES, HEADS, IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS, SUBMISSION_ORDER

SMALL = SampleConfig(
    num_graphemes=16,
    images_per_grapheme=4,
    test_images=12,
    unseen_graphemes=3,
    num_writers=6,
    num_test_writers=4,
    num_shards=1,
    processes=1,
)
HANDS = HandConfig()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleConfig:
    settings = replace(SMALL, root=str(tmp_path_factory.mktemp("input") / "sample"))
    write_sample(settings, HANDS)
    return settings


@pytest.fixture(scope="module")
def killed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a sample whose rendering was killed on the way."""
    root = tmp_path_factory.mktemp("input") / "sample"
    endless = replace(SMALL, root=str(root), images_per_grapheme=20_000)
    code = (
        "from okkhor.config_rendering import HandConfig, SampleConfig\nfrom okkhor.rendering import write_sample\n"
        f"write_sample({endless}, {HANDS})"
    )
    run = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 30  # seconds
    while not (hidden_folder(root) / "train.pixels").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.kill()
    run.wait()
    return root


def hidden_folder(root: Path) -> Path:
    return root.parent / ".sample.rendering"


def read_pixels(sample: SampleConfig, split: str) -> np.ndarray:
    """The images (N, H, W) of a split's only shard."""
    table = pq.read_table(Path(sample.root) / f"{split}_image_data_0.parquet")
    return np.stack([column.to_numpy() for column in table.columns[1:]], axis=1).reshape(-1, IMAGE_HEIGHT, IMAGE_WIDTH)


def habits_of(writer: Writer) -> tuple[float, ...]:
    """What tells a hand from the others: habits are drawn at random, no two writers share them."""
    return tuple(writer.habits.values())


# The folder


def test_csv_files_have_the_headers_and_rows_of_kaggle(sample: SampleConfig) -> None:
    root = Path(sample.root)
    train = pd.read_csv(root / "train.csv")
    assert list(train) == ["image_id", "grapheme_root", "vowel_diacritic", "consonant_diacritic", "grapheme", "writer"]
    assert list(train["image_id"]) == [f"Train_{number}" for number in range(16 * 4)]
    test = list(csv.reader((root / "test.csv").open(encoding="utf-8")))
    assert test[:2] == [
        ["row_id", "image_id", "component"],
        ["Test_0_consonant_diacritic", "Test_0", SUBMISSION_ORDER[0]],
    ]
    assert [row[0] for row in test[1:]] == [f"Test_{n}_{head}" for n in range(12) for head in SUBMISSION_ORDER]
    assert (root / "sample_submission.csv").read_text().startswith("row_id,target\nTest_0_consonant_diacritic,0\n")
    solution = pd.read_csv(root / "solution.csv")
    assert list(solution) == ["row_id", "target", "usage"]
    assert list(solution["row_id"]) == [row[0] for row in test[1:]]
    assert set(solution["usage"]) <= {"Public", "Private"}
    assert pd.read_csv(root / "class_map.csv")["component_type"].value_counts().to_dict() == {
        head.name: head.num_classes for head in HEADS
    }


def test_the_writer_column_tells_the_hands_apart(sample: SampleConfig) -> None:
    train = pd.read_csv(Path(sample.root) / "train.csv")
    hands = pd.Series([habits_of(item.writer) for item in plan_sample(sample, HANDS).train])
    assert train["writer"].nunique() == hands.nunique() == 6
    assert (hands.groupby(train["writer"]).nunique() == 1).all()
    assert train["writer"].drop_duplicates().tolist() == list(range(6))


def test_parquet_files_have_an_id_and_one_uint8_column_a_pixel(sample: SampleConfig) -> None:
    schema = pq.read_schema(Path(sample.root) / "train_image_data_0.parquet")
    assert schema.names == ["image_id", *map(str, range(NUM_PIXELS))]
    assert str(schema.field(0).type) == "string"
    assert {str(field.type) for field in list(schema)[1:]} == {"uint8"}


def test_images_are_dark_ink_on_white_paper(sample: SampleConfig) -> None:
    images = read_pixels(sample, "test")
    assert images.shape == (12, IMAGE_HEIGHT, IMAGE_WIDTH)
    assert (np.median(images, axis=(1, 2)) > 240).all()
    assert (images.min(axis=(1, 2)) < 120).all()
    share_of_ink = (images < 160).mean(axis=(1, 2))
    assert (share_of_ink > 0.005).all()
    assert (share_of_ink < 0.25).all()


def test_unseen_graphemes_are_in_test_only(sample: SampleConfig) -> None:
    train = pd.read_csv(Path(sample.root) / "train.csv")
    solution = pd.read_csv(Path(sample.root) / "solution.csv")
    targets = solution["target"].to_numpy().reshape(-1, len(SUBMISSION_ORDER))
    test = pd.DataFrame(targets, columns=list(SUBMISSION_ORDER))[list(HEAD_NAMES)]
    seen = set(train[list(HEAD_NAMES)].itertuples(index=False, name=None))
    unseen = [labels for labels in test.itertuples(index=False, name=None) if labels not in seen]
    assert len(unseen) == 3
    assert not set(unseen) & {grapheme.labels for grapheme in read_graphemes()}
    for column, name in enumerate(HEAD_NAMES):
        assert {labels[column] for labels in unseen} <= set(train[name])


def test_a_folder_is_recognised_by_the_settings_that_fix_its_pixels(sample: SampleConfig) -> None:
    assert sample_matches(sample, HANDS)
    assert sample_matches(replace(sample, processes=7), HANDS)
    assert not sample_matches(replace(sample, seed=1), HANDS)
    assert not sample_matches(sample, replace(HANDS, slant=(0.0, 0.01)))
    assert not sample_matches(replace(sample, root="no/such/folder"), HANDS)


def test_a_folder_with_other_settings_is_not_overwritten(sample: SampleConfig) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(sample.root).iterdir()}
    with pytest.raises(InputError, match="not rendered with these settings"):
        write_sample(replace(sample, seed=1), HANDS)
    write_sample(sample, HANDS)
    assert before == {path: path.stat().st_mtime_ns for path in Path(sample.root).iterdir()}


def test_a_run_that_is_killed_leaves_no_sample(killed_root: Path) -> None:
    assert hidden_folder(killed_root).is_dir()
    assert not killed_root.exists()


def test_the_run_after_a_killed_one_gives_the_same_bytes_from_two_processes(
    killed_root: Path, sample: SampleConfig
) -> None:
    write_sample(replace(sample, root=str(killed_root), processes=2), HANDS)
    assert not hidden_folder(killed_root).exists()
    for path in Path(sample.root).iterdir():
        assert path.read_bytes() == (killed_root / path.name).read_bytes(), path.name


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sample\.num_graphemes is 1296; it must be 1 to 1295"):
        write_sample(replace(SMALL, root=str(tmp_path / "sample"), num_graphemes=1296), HANDS)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


# The plan


def test_test_writers_are_not_train_writers() -> None:
    plan = plan_sample(SMALL, HANDS)
    hands = [{habits_of(item.writer) for item in split} for split in (plan.train, plan.test)]
    assert [len(split) for split in hands] == [6, 4]
    assert not hands[0] & hands[1]


def test_half_of_the_writers_have_the_handwritten_font() -> None:
    plan = plan_sample(SMALL, HANDS)
    assert len({habits_of(item.writer) for item in plan.train if item.writer.face.path.endswith("ben.ttf")}) == 3


def test_images_of_unseen_graphemes_are_mostly_private() -> None:
    plan = plan_sample(replace(SMALL, num_graphemes=200, test_images=3000, unseen_graphemes=600), HANDS)
    known = {grapheme.labels for grapheme in read_graphemes()}
    private = {
        seen: [item.usage == "Private" for item in plan.test if (item.grapheme.labels in known) == seen]
        for seen in (True, False)
    }
    assert np.mean(private[False]) == pytest.approx(0.88, abs=0.05)
    assert np.mean(private[True]) == pytest.approx(0.52, abs=0.05)


def test_seed_zero_is_a_seed_and_another_seed_gives_another_plan() -> None:
    texts = [[item.grapheme.text for item in plan_sample(replace(SMALL, seed=seed), HANDS).train] for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_small_sample_has_several_classes_of_each_head() -> None:
    few = order_by_coverage(read_graphemes())[:16]
    num_classes = [len({grapheme.labels[column] for grapheme in few}) for column in range(len(HEADS))]
    assert num_classes[0] >= 10
    assert num_classes[1] >= 8
    assert num_classes[2] >= 5


# The label grammar


def test_grammar_gives_back_the_labels_of_all_graphemes_but_four() -> None:
    graphemes = read_graphemes()
    assert len(graphemes) == 1295
    assert sum(decompose(grapheme.text) == grapheme.labels for grapheme in graphemes) == 1291
    assert sum(compose(grapheme.labels) == grapheme.text for grapheme in graphemes) == 1291


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("কি", (13, 2, 0)),
        ("র্ব্য", (107, 0, 3)),
        ("স্ট্র্যা", (149, 1, 6)),
        ("কাঁ", (13, 1, 1)),
        ("র‍্যা", (123, 1, 4)),
        ("ং", (0, 0, 0)),
    ],
)
def test_text_and_labels_belong_together(text: str, labels: tuple[int, int, int]) -> None:
    assert compose(labels) == text
    assert decompose(text) == labels


@pytest.mark.parametrize("text", ["", "a", "কক", "ি", "র্ত্র"])
def test_grammar_knows_no_labels_for_what_is_no_grapheme(text: str) -> None:
    assert decompose(text) is None


def test_an_image_is_written_whole_where_the_system_takes_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk does that is nearly full."""
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: write(file, data[:1000], place))
    image = np.random.default_rng(0).integers(0, 256, (IMAGE_HEIGHT, IMAGE_WIDTH), dtype=np.uint8)
    path = tmp_path / "pixels"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    put_image(file, 1, image)
    os.close(file)
    assert path.read_bytes()[image.size :] == image.tobytes()


def test_a_worker_process_never_hears_ctrl_c_not_even_while_it_starts() -> None:
    """The parent stops it; heard in the middle of an import, it ends in a traceback on the terminal."""
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
