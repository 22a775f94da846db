"""The rendered sample: a folder in the competition's own format, written whole or not at all."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.files import holding, sync
from okkhor.rendering.competition_format import write_tables
from okkhor.rendering.drawing import draw_plan, start_workers
from okkhor.rendering.plan import plan_sample

FORMAT_VERSION = 4  # of the pixels: raised whenever the same settings give other images
SETTINGS_FILE = "sample.json"
FREE_SETTINGS = ("root", "processes")  # settings that don't change a pixel


def settings_text(sample: SampleConfig, hand: HandConfig) -> str:
    """What fixes every pixel of a sample, as it stands in its sample.json."""
    settings = {name: value for name, value in asdict(sample).items() if name not in FREE_SETTINGS}
    return json.dumps({"format_version": FORMAT_VERSION, **settings, "hand": asdict(hand)}, indent=2) + "\n"


def sample_matches(sample: SampleConfig, hand: HandConfig) -> bool:
    """Whether the folder sample.root was rendered with these very settings."""
    path = Path(sample.root) / SETTINGS_FILE
    return path.is_file() and path.read_bytes() == settings_text(sample, hand).encode()


def write_sample(sample: SampleConfig, hand: HandConfig) -> None:
    """Render the sample into the folder sample.root, which appears whole or not at all; one that matches is kept."""
    if sample_matches(sample, hand):  # first: its folder may be one that can't be written to
        return
    root = Path(sample.root)
    root.parent.mkdir(parents=True, exist_ok=True)
    with holding(root.parent / f".{root.name}.lock"):
        if sample_matches(sample, hand):
            return
        if root.exists() and any(root.iterdir()):
            raise InputError(
                f"{root} was not rendered with these settings: remove it, or set sample.root to another folder"
            )
        hidden = root.parent / f".{root.name}.rendering"
        shutil.rmtree(hidden, ignore_errors=True)  # of a run that was killed
        hidden.mkdir()
        try:
            fill_folder(hidden, sample, hand)
            for path in (*hidden.iterdir(), hidden):
                sync(path)
            hidden.rename(root)
            sync(root.parent)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def fill_folder(folder: Path, sample: SampleConfig, hand: HandConfig) -> None:
    """Everything that a sample holds."""
    plan = plan_sample(sample, hand)
    with start_workers(sample.processes) as workers:
        draw_plan(workers, folder, plan, hand, sample.num_shards, sample.seed)
    write_tables(folder, plan)
    (folder / SETTINGS_FILE).write_text(settings_text(sample, hand), encoding="utf-8")
