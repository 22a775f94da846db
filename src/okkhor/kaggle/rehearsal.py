"""okkhor.kaggle.rehearsal."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import okkhor
from okkhor.config import RehearseConfig
from okkhor.data.competition import TestSet
from okkhor.errors import InputError
from okkhor.kaggle.confinement import Measurement, can_cut_network, run_confined
from okkhor.kaggle.kernel_code import COMPETITION, ROOT_VARIABLE
from okkhor.kaggle.package import DATASET, KERNEL, PACKAGES, SCRIPT
from okkhor.kaggle.plan import KernelPlan
from okkhor.kaggle.repetition import repeat_targets, write_repeated
from okkhor.pipeline.run import RUNS
from okkhor.processes import bound_to_this_process
from okkhor.schema import HEADS
from okkhor.scoring.submission import SUBMISSIONS
from okkhor.training.device import choose_device

SCRATCH = PACKAGES / ".rehearsal"
NUM_SHARDS = 4  # of the repeated files, as the competition has
FEW = 4  # times fewer images in the first of the two runs that the forecast's line goes through
OTHERS_SHARE = 0.001  # of the labels, those that other batches may round to another class


def describe_confinement(config: RehearseConfig) -> str:
    network = "without network" if can_cut_network() else "WITH network, which this system does not let be cut"
    return f"{network}, with {config.memory_gb:g} GB of memory"


def rehearse(package: Path, plan: KernelPlan, root: Path, test: TestSet, config: RehearseConfig, folder: Path) -> None:
    """Three runs of the kernel, one of the pipeline itself; prints what they say of the hidden test.

    Raises InputError where the kernel would fail there, after all is said.
    """
    num_images = test.table["image_id"].nunique()
    print(f"  {'images':>9} {'seconds':>9} {'of CPU':>9} {'peak memory':>12}")
    run_kernel(package, root.resolve(), config, folder / "plain", num_images)
    copies = FEW * -(-config.num_images // (FEW * num_images))
    measured: list[tuple[int, Measurement]] = []
    for name, num_copies in (("few", copies // FEW), ("many", copies)):
        # in as many files each time, so that memory grows with their rows and not with the turns of an allocator
        image_ids = write_repeated(test, num_copies, NUM_SHARDS, folder / name / "files")
        size = num_images * num_copies
        measured.append((size, run_kernel(package, folder / name / "files", config, folder / name, size)))
        shutil.rmtree(folder / name / "files")
    failures = judge_resources(measured[0], measured[1], plan, config)
    submission = folder / "plain/working/submission.csv"
    same = submission.read_bytes() == predict_by_pipeline(plan, root.resolve(), folder / "project")
    print(f"Submission: {'byte for byte' if same else 'NOT'} that of the pipeline's own predict.")
    if not same:
        failures.append("its submission is not the pipeline's: was the run trained again since? Then package it again")
    found = pd.read_csv(folder / "many/working/submission.csv")["target"]
    expected = repeat_targets(pd.read_csv(submission), test, image_ids, copies)
    num_others = int(np.count_nonzero(found != expected))
    print(f"Repeated files: of {len(expected):,} labels, {num_others:,} are not those of the plain files.")
    if num_others > OTHERS_SHARE * len(expected):
        failures.append("it reads the same images otherwise in the repeated files")
    if failures:
        raise InputError(f"{package} would fail on Kaggle: {'; '.join(failures)}.")
    print(f"{package} would pass.")


def run_kernel(package: Path, root: Path, config: RehearseConfig, folder: Path, num_images: int) -> Measurement:
    """Run the script in a folder that looks like /kaggle, its output into rehearsal.log; InputError if it fails."""
    inputs = folder / "input/competitions" / COMPETITION
    inputs.mkdir(parents=True)
    for path in (root / "test.csv", *root.glob("test_image_data_*.parquet")):  # it must do without train files
        (inputs / path.name).symlink_to(path.resolve())
    (folder / "input" / package.name).symlink_to((package / DATASET).resolve())
    for name in ("working", "tmp"):
        (folder / name).mkdir()
    environment = os.environ | {ROOT_VARIABLE: str(folder.resolve()), "TMPDIR": str((folder / "tmp").resolve())}
    # -I: neither PYTHONPATH nor the folder that it starts in help it to find this package
    command = [sys.executable, "-I", str((package / KERNEL / SCRIPT).resolve())]
    log = package / "rehearsal.log"
    limit = int(config.memory_gb * 1e9)
    found = run_confined(command, environment, limit, log)
    if found.exceeded:
        raise InputError(
            f"{package}: {num_images:,} images took more than {config.memory_gb:g} GB of memory, and were stopped "
            f"after {found.seconds:.0f} s. Fewer members or a smaller train.batch_size take less."
        )
    if found.status:
        last = (log.read_text().strip() or "no output").splitlines()[-1]
        raise InputError(
            f"{package}: the kernel failed on {num_images:,} images after {found.seconds:.0f} s, at "
            f"{found.peak_bytes / 1e9:.1f} of {config.memory_gb:g} GB: {last[:200]}\nAll that it said: {log}"
        )
    print(f"  {num_images:9,} {found.seconds:9.1f} {found.cpu_seconds:9.1f} {found.peak_bytes / 1e9:9.2f} GB")
    return found


def judge_resources(
    few: tuple[int, Measurement], many: tuple[int, Measurement], plan: KernelPlan, config: RehearseConfig
) -> list[str]:
    """Print what the hidden test would take; returns what of it is too much."""
    tables = sum(len(member.weights) for member in plan.members) * sum(head.num_classes for head in HEADS) * 4
    seconds = extrapolate((few[0], few[1].seconds), (many[0], many[1].seconds), HIDDEN_IMAGES)
    # at least the probabilities are kept of each image: 744 bytes for each network
    peak = extrapolate((few[0], few[1].peak_bytes), (many[0], many[1].peak_bytes), HIDDEN_IMAGES, least=tables)
    print(f"  {HIDDEN_IMAGES:9,} {seconds:9.1f} {'':9} {peak / 1e9:9.2f} GB, extrapolated")
    device = "GPU" if choose_device("auto").type == "cuda" else "CPU"
    verdicts = [
        judge("Memory", peak / 1e9, config.memory_gb, "GB"),
        judge(f"Time on a {device}", seconds / 3600, HOURS[device], "h"),
    ]
    for verdict in verdicts:
        print(verdict.text)
    if device == "CPU":
        fits = "fits" if seconds / 3600 <= HOURS["GPU"] else "does not fit"
        print(f"Time on a GPU: there is none here; at this CPU's speed it {fits} into {HOURS['GPU']:g} h.")
    return [verdict.text.rstrip(".") for verdict in verdicts if not verdict.passed]


def predict_by_pipeline(plan: KernelPlan, root: Path, folder: Path) -> bytes:
    """The submission of ./run.sh predict or ensemble for a data folder.

    In a copy of the project that is made of links, so that no table or submission of the real one is replaced.
    """
    folder.mkdir()
    for name in ("input", "folds", "configs"):
        if Path(name).exists():
            (folder / name).symlink_to(Path(name).resolve())
    for run in {member.name.partition("@")[0] for member in plan.members}:
        for path in (RUNS / run).glob("fold*/*"):
            link = folder / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    source = str(Path(okkhor.__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    for arguments in plan.commands:
        command = [sys.executable, "-m", "okkhor", *arguments, f"data.root={root}"]
        command = bound_to_this_process(command)
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "no message").splitlines()[-1]
            raise InputError(f"./run.sh {' '.join(arguments)} data.root={root} failed: {reason}")
    return max((folder / SUBMISSIONS).glob("*.csv"), key=lambda path: path.stat().st_mtime_ns).read_bytes()


HIDDEN_IMAGES = 98_661 + 112_381  # public and private
HOURS = {"GPU": 2.0, "CPU": 9.0}  # that a kernel may take


@dataclass(frozen=True)
class Verdict:
    passed: bool
    text: str


def extrapolate(few: tuple[int, float], many: tuple[int, float], num_images: int, least: float = 0.0) -> float:
    """The straight line through two runs, (images, measure), at num_images. least: for each image, at the least."""
    slope = max(least, (many[1] - few[1]) / (many[0] - few[0]))
    return max(few[1], many[1]) + slope * max(0, num_images - many[0])


def judge(name: str, needed: float, allowed: float, unit: str) -> Verdict:
    """Whether what is needed is allowed, and by how much."""
    margin = allowed - needed
    word = f"pass, {margin:.1f} {unit} left" if margin >= 0 else f"fail, {-margin:.1f} {unit} too much"
    return Verdict(margin >= 0, f"{name}: {word} of {allowed:g} {unit}.")
