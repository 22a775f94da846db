"""./run.sh prepare: check the input, render the sample where it is due, build cache and folds, say what was found."""

import time
from collections.abc import Sequence

from okkhor.pipeline.prepared import prepare
from okkhor.processes import measure_peak
from okkhor.settings import load_config


def main(arguments: Sequence[str]) -> None:
    started = time.monotonic()
    prepare(load_config(arguments))
    print(f"Ready after {time.monotonic() - started:.1f} s; peak memory {measure_peak() / 1e9:.2f} GB.")
