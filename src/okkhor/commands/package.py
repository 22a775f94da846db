"""./run.sh package run=<run or ensemble>: a data set and a kernel for Kaggle that predict offline."""

from collections.abc import Sequence
from pathlib import Path

from okkhor.errors import ConfigError
from okkhor.files import holding, replacing_folder
from okkhor.kaggle import package
from okkhor.pipeline.ensemble import Ensemble
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    if not config.run:
        raise ConfigError("package needs run=<run or ensemble>. Its networks go to Kaggle.")
    is_ensemble = Ensemble.settings_file(config.run).exists()
    plan, members = (package.plan_ensemble if is_ensemble else package.plan_run)(config, arguments)
    folder = package.PACKAGES / config.run.replace("@", "-")
    package.PACKAGES.mkdir(exist_ok=True)
    with holding(package.LOCK), replacing_folder(folder) as partial:
        package.write_package(partial, plan, members, config)
    print_package(folder, config.kaggle.user)


def print_package(folder: Path, user: str) -> None:
    """Print what a package holds, and how to rehearse and upload it. user: their name on Kaggle, or ""."""
    files = list((folder / package.DATASET).iterdir())
    networks = sum(path.suffix == ".safetensors" for path in files)
    size = sum(path.stat().st_size for path in files)
    noun = "network" if networks == 1 else "networks"
    print(f"{folder}: weights of {networks} {noun}, {size / 1e6:.0f} MB with the wheel; a script and a notebook.")
    print(f"To rehearse it: ./run.sh rehearse run={folder.name}")
    if not user:
        print("To upload it, package it again with kaggle.user=<your name in Kaggle's addresses>.")
        return
    print(f"To upload it:\n  kaggle datasets create -p {folder / package.DATASET}")
    print(f"  kaggle kernels push -p {folder / package.KERNEL} --accelerator {package.ACCELERATOR}")
    submit = f"  kaggle competitions submit {package.COMPETITION} -k {user}/{package.make_slug(folder.name)}"
    print(f"{submit} -v 1 -f submission.csv -m {folder.name}")
