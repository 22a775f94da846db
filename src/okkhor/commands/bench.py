"""./run.sh bench: how much of the hardware the pipeline leaves to the network: rates, shares of bare work, memory."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

import torch

from okkhor.bench.growth_parts import bench_memory, bench_scaling, bench_start
from okkhor.bench.input_parts import bench_cache, bench_loader, bench_render
from okkhor.bench.network_parts import bench_predict, bench_train
from okkhor.bench.timing import Figure
from okkhor.config import Config
from okkhor.errors import ConfigError
from okkhor.files import replacing
from okkhor.pipeline.prepared import Prepared, prepare
from okkhor.pipeline.run import RUNS, describe_environment
from okkhor.settings import load_config
from okkhor.training.device import check_compiler, choose_device

Part = Callable[[Config, Prepared], Iterator[Figure]]


def main(arguments: Sequence[str]) -> None:
    settings = ["config=bench", *arguments, "data.rendered_fraction=0"]  # rendering has a part of its own
    config = load_config(settings)
    parts: dict[str, Part] = {
        "cache": bench_cache,
        "loader": bench_loader,
        "render": bench_render,
        "train": bench_train,
        "predict": bench_predict,
        "memory": bench_memory,
        "start": partial(bench_start, arguments=settings),
        "scaling": partial(bench_scaling, arguments=settings),
    }
    for name in config.bench.parts:
        if name not in parts:
            raise ConfigError(f"bench.parts: no part '{name}'. Parts: {', '.join(parts)}.")
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    check_compiler(config.train, choose_device(config.train.device))
    prepared = prepare(config)
    started, figures = time.monotonic(), []
    for name in config.bench.parts:
        for figure in parts[name](config, prepared):
            print_figure(figure)
            figures.append(figure)
    print_needs(figures)
    write_figures(figures, time.monotonic() - started)


def print_figure(figure: Figure) -> None:
    """A row of the table, as soon as it is known."""
    text = f"{figure.part:8} {figure.name:62} {format_number(figure.value):>7} {figure.unit:16}"
    if figure.lowest < figure.highest:
        text += f" {format_number(figure.lowest)} to {format_number(figure.highest)}"
    if figure.target is not None:
        verdict = "met" if figure.is_met else "MISSED"
        text += f"  {figure.target.sense} {figure.target.limit:.3g}: {verdict}"
    print(text.rstrip(), flush=True)


def format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_needs(figures: Sequence[Figure]) -> None:
    """What a GPU needs that isn't here."""
    rates = [f for f in figures if f.part == "loader" and f.unit == "images/s a core" and "1 workers" in f.name]
    if rates and not torch.cuda.is_available():
        rate = rates[0].value
        print(
            f"On a GPU (none here): a loader worker feeds {rate:,.0f} images/s, so data.num_workers is the GPU's own "
            f"rate over that: 8 are enough up to {8 * rate:,.0f}."
        )


def write_figures(figures: Sequence[Figure], seconds: float) -> None:
    """runs/bench.json: the figures, the machine and the versions."""
    content = {
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "environment": describe_environment(),
        "figures": [asdict(figure) | {"is_met": figure.is_met} for figure in figures],
    }
    path = RUNS / "bench.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    missed = sum(figure.is_met is False for figure in figures)
    measured = sum(figure.target is not None for figure in figures)
    print(f"{path}: {measured - missed} of {measured} targets met, after {seconds:.0f} s.")
