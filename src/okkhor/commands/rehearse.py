"""./run.sh rehearse run=<run>: run the packaged kernel as Kaggle would, and forecast its time and memory."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.data.competition import read_test_set
from okkhor.errors import ConfigError, InputError
from okkhor.kaggle.kernel import read_plan
from okkhor.kaggle.package import DATASET, PACKAGES, PLAN_FILE
from okkhor.kaggle.rehearsal import rehearse
from okkhor.settings import load_arguments, split_argument


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.run:
        raise ConfigError("rehearse needs run=<run or ensemble>, as it was packaged.")
    package = PACKAGES / config.run.replace("@", "-")
    plan_file = package / DATASET / PLAN_FILE
    if not plan_file.exists():
        raise InputError(f"{package}: there is no such package. First: ./run.sh package run={config.run}")
    plan = read_plan(plan_file)
    is_given = "data.root" in dict(map(split_argument, arguments))
    root = Path((config if is_given else plan.members[0]).data.root)
    test = read_test_set(root)
    if test is None:
        raise InputError(f"data.root={root}: found no test.csv to rehearse with. Name another folder.")
    num_images = test.table["image_id"].nunique()
    if num_images > config.rehearse.num_images:
        raise InputError(
            f"{root} has {num_images:,} test images, more than rehearse.num_images={config.rehearse.num_images:,}. "
            f"Set rehearse.num_images={num_images} or higher, or name a smaller folder."
        )
    rehearse(package, plan, root, test, config.rehearse)
