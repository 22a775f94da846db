"""./run.sh prepare: check the input, render the sample where it is due, build cache and folds, say what was found."""

import resource
import time
from collections.abc import Sequence

from okkhor.pipeline.prepared import prepare
from okkhor.settings import load_config


def main(arguments: Sequence[str]) -> None:
    started = time.monotonic()
    prepare(load_config(arguments))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(f"Ready after {time.monotonic() - started:.1f} s; peak memory {peak / 1e9:.2f} GB.")
