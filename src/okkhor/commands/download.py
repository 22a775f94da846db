"""./run.sh download: the competition's files by Kaggle's own client, checked, into input/bengaliai-cv19."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from okkhor.config import COMPETITION_ROOT
from okkhor.data.competition import read_test_set, read_train_set
from okkhor.errors import ConfigError, InputError, check_extra, first_line

TOKEN = "put your API token (kaggle.com/settings) into ~/.kaggle/access_token, or set KAGGLE_API_TOKEN"


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


def fetch(competition: str, folder: Path) -> Path:
    """Download and unpack into a folder; return where in it the files are. A broken-off download resumes.

    Raises InputError, with the remedy, if Kaggle does not know the person, refuses the files or can't be reached.
    """
    # not where Kaggle and Colab keep files of their own, which may not be moved away
    own = {"KAGGLEHUB_CACHE": str(folder.resolve()), "DISABLE_KAGGLE_CACHE": "1", "DISABLE_COLAB_CACHE": "1"}
    os.environ.update(own)
    import kagglehub  # an extra, which reads these variables when it is imported
    from kagglehub.exceptions import DataCorruptionError, UnauthenticatedError
    from requests import HTTPError, RequestException

    rules = f"https://www.kaggle.com/c/{competition}/rules"
    try:
        return Path(kagglehub.competition_download(competition))
    except UnauthenticatedError:
        raise InputError(f"Kaggle has to know who you are: {TOKEN}.\nThen accept the rules: {rules}") from None
    except HTTPError as error:
        reason, remedy = "Kaggle refuses", f"Accept the rules: {rules} and see that the token is valid: {TOKEN}."
        raise InputError(f"{reason}: {first_line(error)}\n{remedy}") from error
    except (RequestException, DataCorruptionError, ValueError) as error:
        raise InputError(
            f"Kaggle can't be reached, or the download broke off: {first_line(error)}\n"
            "Check the network, then start ./run.sh download again: it resumes."
        ) from error
