"""./run.sh download: the competition's files by Kaggle's own client, checked, into input/bengaliai-cv19."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from okkhor.config import COMPETITION_ROOT
from okkhor.data.competition import read_test_set, read_train_set
from okkhor.errors import ConfigError, InputError, check_extra
from okkhor.kaggle.download import fetch


def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise ConfigError(f"download takes no settings, found {arguments[0]}.")
    root = Path(COMPETITION_ROOT)
    if root.exists():
        raise InputError(f"{root} is there already: ./run.sh prepare checks it. To download again, move it away.")
    check_extra("download", "kagglehub")
    partial = root.with_name(f".{root.name}.download")
    files = fetch(root.name, partial)
    try:
        num_train, num_test = count_images(files)
    except InputError as error:
        raise InputError(f"{error}\nWhat was downloaded is kept in {partial}; delete it to download anew.") from error
    files.rename(root)
    shutil.rmtree(partial)
    print(f"{root}: {num_train:,} train images, {num_test:,} test images, checked. To train: ./run.sh fold=0")


def count_images(root: Path) -> tuple[int, int]:
    """The numbers of train and test images. Raises InputError for files that differ from Kaggle's."""
    train, test = read_train_set(root), read_test_set(root)
    if test is None:
        raise InputError(f"{root}: found no test.csv.")
    return len(train.table), test.table["image_id"].nunique()
