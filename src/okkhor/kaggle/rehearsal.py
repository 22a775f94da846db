"""`rehearse`: run a packaged kernel here as Kaggle would, and forecast its time and memory for the hidden test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import okkhor
from okkhor.config import RehearseConfig
from okkhor.data.competition import TestSet
from okkhor.data.shards import read_images
from okkhor.errors import InputError
from okkhor.files import holding
from okkhor.kaggle.kernel import KernelPlan, choose_kernel_device
from okkhor.kaggle.package import COMPETITION, DATASET, KERNEL, LOCK, PACKAGES, ROOT_VARIABLE, SCRIPT
from okkhor.kaggle.sandbox import can_cut_network, last_line, run_in_sandbox
from okkhor.pipeline.run import RUNS
from okkhor.processes import bound_to_this_process
from okkhor.rendering.sample import image_id, shard_ranges, write_csv, write_shard
from okkhor.schema import HEADS, SUBMISSION_ORDER
from okkhor.scoring.submission import SUBMISSIONS

SCRATCH = PACKAGES / ".rehearsal"
NUM_SHARDS = 4  # of the repeated files, as the competition has
FEW = 4  # the forecast is a line through two runs: the smaller one has a fourth of the images
DIFFERENT_SHARE = 0.001  # of the labels: rounding, which depends on the batch, changes fewer
HIDDEN_IMAGES = 98_661 + 112_381  # public and private
HOURS = {"GPU": 2.0, "CPU": 9.0}  # that a kernel may take


class KernelRun(NamedTuple):
    """One run of the kernel. submission: the file that it wrote."""

    num_images: int
    seconds: float
    peak_bytes: int
    submission: Path


def rehearse(package: Path, plan: KernelPlan, root: Path, test: TestSet, config: RehearseConfig) -> None:
    """Run the kernel on the test files, and on these files repeated a few times and many times; print what that says.

    Raises InputError if the kernel fails here, or would fail on Kaggle.
    """
    network = "without network" if can_cut_network() else "WITH network, which this system can't cut off"
    print(f"{package}: the kernel in a fresh process, {network}, with {config.memory_gb:g} GB of memory.")
    print(f"  {'images':>9} {'seconds':>9} {'peak memory':>12}")
    num_images = test.table["image_id"].nunique()
    copies = -(-config.num_images // (FEW * num_images))
    with holding(LOCK):  # two rehearsals at once would measure each other
        shutil.rmtree(SCRATCH, ignore_errors=True)  # left by a killed rehearsal
        try:
            plain = run_kernel(package, root, config, SCRATCH / "plain", num_images)
            few = run_repeated(package, test, config, SCRATCH / "few", copies)
            many = run_repeated(package, test, config, SCRATCH / "many", FEW * copies)
            failures = judge_resources(few, many, plan, config)
            own = predict_by_pipeline(plan, root.resolve(), SCRATCH / "project")
            failures += judge_submission(plain.submission.read_bytes(), own)
            expected = repeat_targets(pd.read_csv(plain.submission), test, FEW * copies)
            failures += judge_repeated(pd.read_csv(many.submission)["target"], expected)
        finally:
            shutil.rmtree(SCRATCH, ignore_errors=True)
    if failures:
        raise InputError(f"{package} would fail on Kaggle: {'; '.join(failures)}.")
    print(f"{package} would pass.")


def run_repeated(package: Path, test: TestSet, config: RehearseConfig, folder: Path, copies: int) -> KernelRun:
    """Run the kernel on the test files repeated, always in NUM_SHARDS files: so memory grows with their rows alone."""
    write_repeated(test, copies, NUM_SHARDS, folder / "files")
    found = run_kernel(package, folder / "files", config, folder, test.table["image_id"].nunique() * copies)
    shutil.rmtree(folder / "files")
    return found


def write_repeated(test: TestSet, num_copies: int, num_shards: int, folder: Path) -> None:
    """Write test.csv and shards in the competition's order: of N images, Test_<k> is image k % N of the shards."""
    folder.mkdir(parents=True)
    pixels = np.concatenate([block for shard in test.shards for _, block in read_images(shard, folder)])
    num_images = len(pixels) * num_copies
    for shard, numbers in enumerate(shard_ranges(num_images, min(num_shards, num_images))):
        write_shard(pixels, "test", numbers, folder / f"test_image_data_{shard}.parquet")
    names = [image_id("test", number) for number in range(num_images)]
    rows_of_test = [(f"{name}_{head}", name, head) for name in names for head in SUBMISSION_ORDER]
    write_csv(folder / "test.csv", rows_of_test, ["row_id", "image_id", "component"])


def repeat_targets(submission: pd.DataFrame, test: TestSet, num_copies: int) -> pd.Series:
    """The targets expected for the repeated files, from a submission for the plain files."""
    answers = submission.assign(image_id=test.table["image_id"], component=test.table["component"])
    by_image = answers.pivot(index="image_id", columns="component", values="target")
    image_ids = np.concatenate([shard.image_ids for shard in test.shards])
    targets = by_image.loc[image_ids, list(SUBMISSION_ORDER)].to_numpy().ravel()
    return pd.Series(np.tile(targets, num_copies))


def run_kernel(package: Path, root: Path, config: RehearseConfig, folder: Path, num_images: int) -> KernelRun:
    """Run the script in a folder that looks like /kaggle, its output into rehearsal.log; InputError if it fails."""
    inputs = folder / "input/competitions" / COMPETITION
    inputs.mkdir(parents=True)
    for path in (root / "test.csv", *root.glob("test_image_data_*.parquet")):  # the kernel must do without train files
        (inputs / path.name).symlink_to(path.resolve())
    (folder / "input" / package.name).symlink_to((package / DATASET).resolve())
    for name in ("working", "tmp"):
        (folder / name).mkdir()
    environment = os.environ | {ROOT_VARIABLE: str(folder.resolve()), "TMPDIR": str((folder / "tmp").resolve())}
    # -I: neither PYTHONPATH nor the working folder helps the kernel to find this package
    command = [sys.executable, "-I", str((package / KERNEL / SCRIPT).resolve())]
    log, limit = package / "rehearsal.log", int(config.memory_gb * 1e9)
    found = run_in_sandbox(command, environment, limit, log)
    after = f"{num_images:,} images after {found.seconds:.0f} s"
    if found.peak_bytes > limit:
        raise InputError(
            f"{package}: the kernel took more than {config.memory_gb:g} GB of memory and was stopped on {after}. "
            "Fewer members or a smaller train.batch_size take less."
        )
    if found.status:
        raise InputError(
            f"{package}: the kernel failed on {after}, at {found.peak_bytes / 1e9:.1f} of {config.memory_gb:g} GB: "
            f"{last_line(log.read_text())}\nThe whole output: {log}"
        )
    print(f"  {num_images:9,} {found.seconds:9.1f} {found.peak_bytes / 1e9:9.2f} GB")
    return KernelRun(num_images, found.seconds, found.peak_bytes, folder / "working/submission.csv")


def judge_resources(few: KernelRun, many: KernelRun, plan: KernelPlan, config: RehearseConfig) -> list[str]:
    """Print what the hidden test would take; return the failures."""
    # of each image and network, at least the probabilities are kept: 744 bytes
    least = sum(len(member.weights) for member in plan.members) * sum(head.num_classes for head in HEADS) * 4
    seconds = extrapolate((few.num_images, few.seconds), (many.num_images, many.seconds))
    peak = extrapolate((few.num_images, few.peak_bytes), (many.num_images, many.peak_bytes), least)
    print(f"  {HIDDEN_IMAGES:9,} {seconds:9.1f} {peak / 1e9:9.2f} GB, extrapolated")
    device = "GPU" if choose_kernel_device().type == "cuda" else "CPU"
    failures = judge("Memory", peak / 1e9, config.memory_gb, "GB")
    failures += judge(f"Time on a {device}", seconds / 3600, HOURS[device], "h")
    if device == "CPU":
        fits = "fits" if seconds / 3600 <= HOURS["GPU"] else "does not fit"
        print(f"Time on a GPU: there is none here; at this CPU's speed it {fits} into {HOURS['GPU']:g} h.")
    return failures


def extrapolate(few: tuple[int, float], many: tuple[int, float], least: float = 0.0) -> float:
    """The line through two points (images, measure) at HIDDEN_IMAGES. least: its slope, if noise makes it smaller."""
    slope = max(least, (many[1] - few[1]) / (many[0] - few[0]))
    return max(few[1], many[1]) + slope * max(0, HIDDEN_IMAGES - many[0])


def judge(name: str, needed: float, allowed: float, unit: str) -> list[str]:
    """Print whether what is needed is allowed, and the margin; return the failure, if it is one."""
    margin = allowed - needed
    verdict = f"pass, {margin:.1f} {unit} left" if margin >= 0 else f"fail, {-margin:.1f} {unit} too much"
    text = f"{name}: {verdict} of {allowed:g} {unit}"
    print(f"{text}.")
    return [] if margin >= 0 else [text]


def judge_submission(kernels: bytes, pipelines: bytes) -> list[str]:
    """Compare the kernel's submission with the pipeline's for the same files; return the failure, if it is one."""
    same = kernels == pipelines
    print(f"Submission: {'byte for byte' if same else 'NOT'} that of the pipeline's own predict.")
    return [] if same else ["its submission is not the pipeline's: was the run trained again? Then package it again"]


def judge_repeated(found: pd.Series, expected: pd.Series) -> list[str]:
    """Compare the labels of the repeated files with those of the plain files; return the failure, if it is one."""
    different = int(np.count_nonzero(found != expected))
    print(f"Repeated files: of {len(expected):,} labels, {different:,} are not those of the plain files.")
    few = different <= DIFFERENT_SHARE * len(expected)
    return [] if few else ["in the repeated files it reads the same images differently"]


def predict_by_pipeline(plan: KernelPlan, root: Path, folder: Path) -> bytes:
    """The submission of ./run.sh predict or ensemble for a data folder.

    Made in a copy of the project, of links, so that it replaces no table and no submission of the real one.
    """
    folder.mkdir()
    for name in ("input", "folds", "configs"):
        if Path(name).exists():
            (folder / name).symlink_to(Path(name).resolve())
    for run in {member.name.partition("@")[0] for member in plan.members}:
        for path in (RUNS / run).glob("fold*/*"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(path.resolve())
    (folder / "src").symlink_to(Path(okkhor.__file__).resolve().parents[1])  # its own path may have a colon
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", os.environ.get("PYTHONPATH", "")])}
    for arguments in plan.commands:
        command = bound_to_this_process([sys.executable, "-m", "okkhor", *arguments, f"data.root={root}"])
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"./run.sh {' '.join(arguments)} data.root={root} failed: {last_line(done.stderr)}")
    return max((folder / SUBMISSIONS).glob("*.csv"), key=lambda path: path.stat().st_mtime_ns).read_bytes()
