"""The rendered sample: a folder in the competition's format, whole or absent, the same from any number of processes."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers import Refused

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.rendering.graphemes import read_graphemes
from okkhor.rendering.plan import plan_sample
from okkhor.rendering.sample import sample_matches, write_sample
from okkhor.schema import HEAD_NAMES, HEADS, IMAGE_HEIGHT, IMAGE_WIDTH, NUM_PIXELS, SUBMISSION_ORDER

RANGES = HandConfig()
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


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleConfig:
    settings = replace(SMALL, root=str(tmp_path_factory.mktemp("input") / "sample"))
    write_sample(settings, RANGES)
    return settings


@pytest.fixture(scope="module")
def root(sample: SampleConfig) -> Path:
    return Path(sample.root)


def test_csv_files_have_the_headers_and_rows_of_kaggle(root: Path) -> None:
    train = pd.read_csv(root / "train.csv")
    assert list(train) == ["image_id", "grapheme_root", "vowel_diacritic", "consonant_diacritic", "grapheme", "writer"]
    assert list(train["image_id"]) == [f"Train_{number}" for number in range(16 * 4)]
    test = list(csv.reader((root / "test.csv").open(encoding="utf-8")))
    assert test[0] == ["row_id", "image_id", "component"]
    assert test[1] == ["Test_0_consonant_diacritic", "Test_0", "consonant_diacritic"]
    assert [row[0] for row in test[1:]] == [f"Test_{n}_{head}" for n in range(12) for head in SUBMISSION_ORDER]
    assert (root / "sample_submission.csv").read_text().startswith("row_id,target\nTest_0_consonant_diacritic,0\n")
    solution = pd.read_csv(root / "solution.csv")
    assert list(solution) == ["row_id", "target", "usage"]
    assert list(solution["row_id"]) == [row[0] for row in test[1:]]
    assert set(solution["usage"]) <= {"Public", "Private"}
    assert pd.read_csv(root / "class_map.csv")["component_type"].value_counts().to_dict() == {
        head.name: head.num_classes for head in HEADS
    }


def test_the_writer_column_tells_the_hands_apart_and_no_hand_of_train_writes_test(
    sample: SampleConfig, root: Path
) -> None:
    writers = pd.read_csv(root / "train.csv")["writer"]
    plan = plan_sample(sample, RANGES)
    hands, test_hands = (pd.Series([tuple(item.hand.habits.values()) for item in plan[split]]) for split in plan)
    assert writers.nunique() == hands.nunique() == 6
    assert (hands.groupby(writers).nunique() == 1).all()
    assert writers.drop_duplicates().tolist() == list(range(6))
    assert test_hands.nunique() == 4
    assert not hands.isin(test_hands).any()


def test_parquet_files_have_an_id_and_a_uint8_column_for_each_pixel_of_dark_ink_on_white_paper(root: Path) -> None:
    table = pq.read_table(root / "test_image_data_0.parquet")
    assert table.schema.names == ["image_id", *map(str, range(NUM_PIXELS))]
    assert str(table.schema.field(0).type) == "string"
    assert {str(field.type) for field in list(table.schema)[1:]} == {"uint8"}
    images = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1)
    assert images.shape == (12, IMAGE_HEIGHT * IMAGE_WIDTH)
    assert (np.median(images, axis=1) > 240).all()
    assert (images.min(axis=1) < 120).all()
    share_of_ink = (images < 160).mean(axis=1)
    assert (share_of_ink > 0.005).all()
    assert (share_of_ink < 0.25).all()


def test_unseen_graphemes_are_in_test_only(root: Path) -> None:
    train, solution = pd.read_csv(root / "train.csv"), pd.read_csv(root / "solution.csv")
    targets = solution["target"].to_numpy().reshape(-1, len(SUBMISSION_ORDER))
    test = pd.DataFrame(targets, columns=list(SUBMISSION_ORDER))[list(HEAD_NAMES)]
    seen = set(train[list(HEAD_NAMES)].itertuples(index=False, name=None))
    unseen = [labels for labels in test.itertuples(index=False, name=None) if labels not in seen]
    assert len(unseen) == 3
    assert not set(unseen) & {grapheme.labels for grapheme in read_graphemes()}
    for column, name in enumerate(HEAD_NAMES):
        assert {labels[column] for labels in unseen} <= set(train[name])


def test_a_folder_is_kept_for_the_same_pixels_and_not_overwritten_for_others(sample: SampleConfig, root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    write_sample(replace(sample, processes=7), RANGES)
    for settings, ranges in ((replace(sample, seed=1), RANGES), (sample, replace(RANGES, slant=(0.0, 0.01)))):
        assert not sample_matches(settings, ranges)
        with pytest.raises(InputError, match="not rendered with these settings"):
            write_sample(settings, ranges)
    assert before == {path: path.stat().st_mtime_ns for path in root.iterdir()}


@pytest.mark.slow
def test_two_processes_render_the_same_bytes(sample: SampleConfig, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "sample"
    write_sample(replace(sample, root=str(other), processes=2), RANGES)
    for path in root.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_images_of_unseen_graphemes_are_mostly_private() -> None:
    sample = replace(SMALL, num_graphemes=200, test_images=3000, unseen_graphemes=600)
    known = {grapheme.labels for grapheme in read_graphemes()}
    private: dict[bool, list[bool]] = {True: [], False: []}
    for item in plan_sample(sample, RANGES)["test"]:
        private[item.grapheme.labels in known].append(item.usage == "Private")
    assert len(private[False]) == 600
    assert np.mean(private[False]) == pytest.approx(0.88, abs=0.05)
    assert np.mean(private[True]) == pytest.approx(0.52, abs=0.05)


def test_seed_zero_is_a_seed_and_another_seed_gives_another_plan() -> None:
    plans = [plan_sample(replace(SMALL, seed=seed), RANGES) for seed in (0, 0, 1)]
    texts = [[item.grapheme.text for item in plan["train"]] for plan in plans]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"unseen_graphemes": 13}, ["sample.unseen_graphemes is 13", "sample.test_images=12"]),
        ({"num_graphemes": 2, "test_images": 500, "unseen_graphemes": 500}, ["leave only 1", "sample.num_graphemes"]),
        ({"num_graphemes": 1295, "num_writers": 1}, ["No hand's font shapes", "must be 2 or more"]),
    ],
)
def test_settings_that_make_no_sample_are_refused_and_leave_nothing_behind(
    refused: Refused, tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    refused(words, write_sample, replace(SMALL, root=str(tmp_path / "sample"), **settings), RANGES)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
