"""./run.sh bench: measure how fast each step is here beside the same work bare, and how much memory it takes."""

from collections.abc import Sequence

from okkhor.bench.benchmark import run_benchmark
from okkhor.settings import load_config


def main(arguments: Sequence[str]) -> None:
    run_benchmark(load_config(["config=bench", *arguments, "data.rendered_fraction=0"]))  # nor waits for rendering
