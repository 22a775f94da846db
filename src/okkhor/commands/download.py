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
        train, test = read_train_set(files), read_test_set(files)
        if test is None:
            raise InputError(f"{files}: found no test.csv.")
    except InputError as error:
        raise InputError(f"{error}\nWhat was downloaded is kept in {partial}; delete it to download anew.") from error
    files.rename(root)
    shutil.rmtree(partial)
    num_test = test.table["image_id"].nunique()
    print(f"{root}: {len(train.table):,} train images, {num_test:,} test images, checked. To train: ./run.sh fold=0")
