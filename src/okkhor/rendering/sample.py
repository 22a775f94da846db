"""`write_sample` renders a folder in the competition's own format, which appears whole or not at all."""

import json
from dataclasses import asdict
from pathlib import Path

from okkhor.config_rendering import HandConfig, SampleConfig
from okkhor.errors import InputError
from okkhor.files import holding, replacing_folder
from okkhor.rendering.competition_format import write_tables
from okkhor.rendering.drawing import render_sample
from okkhor.rendering.plan import plan_sample

FORMAT_VERSION = 4  # of the pixels: raised whenever the same settings give other images
SETTINGS_FILE = "sample.json"
FREE_SETTINGS = ("root", "processes")  # settings that don't change a pixel


def settings_text(sample: SampleConfig, hand: HandConfig) -> str:
    """Return the content of sample.json: all settings that change a pixel."""
    settings = {name: value for name, value in asdict(sample).items() if name not in FREE_SETTINGS}
    return json.dumps({"format_version": FORMAT_VERSION, **settings, "hand": asdict(hand)}, indent=2) + "\n"


def sample_matches(sample: SampleConfig, hand: HandConfig) -> bool:
    """Return whether the folder sample.root was rendered with these very settings."""
    path = Path(sample.root) / SETTINGS_FILE
    return path.is_file() and path.read_bytes() == settings_text(sample, hand).encode()


def write_sample(sample: SampleConfig, hand: HandConfig) -> None:
    """Render the sample into the folder sample.root; nothing is done if its settings match.

    Raises InputError if the folder holds anything else, and for settings that make no sample.
    """
    if sample_matches(sample, hand):  # before the lock: the folder may be read-only
        return
    root = Path(sample.root)
    root.parent.mkdir(parents=True, exist_ok=True)
    with holding(root.parent / f".{root.name}.lock"):
        if sample_matches(sample, hand):
            return
        if root.exists() and any(root.iterdir()):
            raise InputError(f"{root} was not rendered with these settings: remove it, or set another sample.root")
        with replacing_folder(root) as folder:
            plan = plan_sample(sample, hand)
            render_sample(folder, plan, sample, hand)
            write_tables(folder, plan)
            (folder / SETTINGS_FILE).write_text(settings_text(sample, hand), encoding="utf-8")
