"""./run.sh rehearse run=<run>: the packaged kernel as Kaggle would run it, and what the hidden test would take."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from okkhor.data.competition import read_test_set
from okkhor.errors import ConfigError, InputError
from okkhor.files import holding
from okkhor.kaggle.kernel_code import PLAN_FILE
from okkhor.kaggle.package import DATASET, LOCK, PACKAGES
from okkhor.kaggle.plan import read_plan
from okkhor.kaggle.rehearsal import SCRATCH, describe_confinement, rehearse
from okkhor.settings import load_arguments, split_argument


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.run:
        raise ConfigError("rehearse needs run=<run or ensemble>, as it was packaged.")
    package = PACKAGES / config.run.replace("@", "-")
    plan_file = package / DATASET / PLAN_FILE
    if not plan_file.exists():
        raise InputError(f"{package}: nothing is packaged there. First: ./run.sh package run={config.run}")
    plan = read_plan(plan_file)
    root = Path(dict(map(split_argument, arguments)).get("data.root") or plan.members[0].data.root)
    test = read_test_set(root)
    if test is None:
        raise InputError(f"data.root={root}: no test.csv there, so nothing to rehearse with.")
    num_images = test.table["image_id"].nunique()
    if num_images > config.rehearse.num_images:
        raise InputError(
            f"{root} has {num_images:,} test images: set rehearse.num_images as high, or a smaller folder."
        )
    print(f"{package}: the kernel in a fresh process, {describe_confinement(config.rehearse)}.")
    with holding(PACKAGES / LOCK):  # two at once would measure each other
        shutil.rmtree(SCRATCH, ignore_errors=True)  # a killed one's
        try:
            rehearse(package, plan, root, test, config.rehearse, SCRATCH)
        finally:
            shutil.rmtree(SCRATCH, ignore_errors=True)
