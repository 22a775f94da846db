"""`run_benchmark` measures the parts that bench.parts names, prints a table and writes runs/bench.json."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

import torch

from okkhor.bench.parts import bench_cache, bench_loader, bench_predict, bench_train
from okkhor.bench.timing import Figure
from okkhor.config import Config
from okkhor.errors import ConfigError
from okkhor.files import replacing
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import RUNS, describe_environment
from okkhor.training.compiling import check_compiler
from okkhor.training.device import choose_device

PARTS: dict[str, Callable[[Config, Prepared], Iterator[Figure]]] = {
    "cache": bench_cache,
    "loader": bench_loader,
    "train": bench_train,
    "predict": bench_predict,
}


def run_benchmark(config: Config) -> None:
    """Print each figure as soon as it is known. Raises ConfigError for an unknown part."""
    for part in config.bench.parts:
        if part not in PARTS:
            raise ConfigError(f"bench.parts: no part '{part}'. Parts: {', '.join(PARTS)}.")
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    check_compiler(config.train, choose_device(config.train.device))
    prepared = prepare(config)
    started = time.monotonic()
    figures: dict[str, list[Figure]] = {part: [] for part in config.bench.parts}
    for part in figures:
        for figure in PARTS[part](config, prepared):
            print_figure(part, figure)
            figures[part].append(figure)
    write_figures(figures, time.monotonic() - started)


def print_figure(part: str, figure: Figure) -> None:
    text = f"{part:8} {figure.name:62} {format_number(figure.value):>7} {figure.unit:16}"
    if figure.lowest < figure.highest:
        text += f" {format_number(figure.lowest)} to {format_number(figure.highest)}"
    if figure.target is not None:
        verdict = "met" if figure.is_met else "MISSED"
        text += f"  {figure.target.sense} {figure.target.limit:.3g}: {verdict}"
    print(text.rstrip(), flush=True)


def format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_figures(figures: Mapping[str, Sequence[Figure]], seconds: float) -> None:
    """Write runs/bench.json: the figures of each part, the machine and the versions; print how many targets are met."""
    rows = [(part, figure) for part in figures for figure in figures[part]]
    content = {
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "environment": describe_environment(),
        "figures": [{"part": part, **asdict(figure), "is_met": figure.is_met} for part, figure in rows],
    }
    path = RUNS / "bench.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    verdicts = [figure.is_met for _, figure in rows if figure.target is not None]
    print(f"{path}: {sum(map(bool, verdicts))} of {len(verdicts)} targets met, after {seconds:.0f} s.")
