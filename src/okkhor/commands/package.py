"""./run.sh package run=<run or ensemble>: a data set and a kernel for Kaggle that predict offline."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.errors import ConfigError
from okkhor.files import holding, replacing_folder
from okkhor.kaggle.kernel_code import COMPETITION, make_slug
from okkhor.kaggle.package import DATASET, KERNEL, LOCK, PACKAGES, plan_ensemble, plan_run, write_package
from okkhor.pipeline.ensemble import Ensemble
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.run:
        raise ConfigError("package needs run=<run or ensemble>. Its networks go to Kaggle.")
    is_ensemble = Ensemble.settings_file(config.run).exists()
    plan, members = (plan_ensemble if is_ensemble else plan_run)(config, arguments)
    folder = PACKAGES / config.run.replace("@", "-")
    PACKAGES.mkdir(exist_ok=True)
    with holding(LOCK), replacing_folder(folder) as partial:
        write_package(partial, plan, members, config)
    print_package(folder, config.kaggle.user)


def print_package(folder: Path, user: str) -> None:
    """Print what a package holds, and how to rehearse and upload it. user: their name on Kaggle, or ""."""
    files = list((folder / DATASET).iterdir())
    networks = sum(path.suffix == ".safetensors" for path in files)
    size = sum(path.stat().st_size for path in files)
    noun = "network" if networks == 1 else "networks"
    print(f"{folder}: weights of {networks} {noun}, {size / 1e6:.0f} MB with the wheel; a script and a notebook.")
    print(f"To rehearse it: ./run.sh rehearse run={folder.name}")
    if not user:
        print("To upload it, package it again with kaggle.user=<your name in Kaggle's addresses>.")
        return
    print(
        f"To upload it:\n  kaggle datasets create -p {folder / DATASET}\n  kaggle kernels push -p {folder / KERNEL}\n"
        f"  kaggle competitions submit {COMPETITION} -k {user}/{make_slug(folder.name)} -v 1 -f submission.csv "
        f"-m {folder.name}"
    )
