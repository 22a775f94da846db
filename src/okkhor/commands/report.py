"""./run.sh report run=<run>, runs=[a,b]: what was trained and what it gets wrong, as one HTML page."""

from collections.abc import Sequence

from okkhor.errors import ConfigError
from okkhor.rendering.fonts import draw_outline
from okkhor.report.page import write_report
from okkhor.report.report import make_report
from okkhor.report.run_data import read_run_data
from okkhor.settings import load_arguments


def main(arguments: Sequence[str]) -> None:
    config = load_arguments(arguments)
    names = config.runs or ((config.run,) if config.run else ())
    if len(names) not in (1, 2):
        raise ConfigError("report needs run=<run>, or runs=[<run>,<another>] for two side by side.")
    runs = [read_run_data(name, config.fold, arguments) for name in names]
    beside = f"-beside-{runs[1].files.name}{runs[1].files.suffix}" if len(runs) == 2 else ""
    path = runs[0].files.folder / f"report{runs[0].files.suffix}{beside}.html"
    write_report(make_report(runs), draw_outline, path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, one file without a network. Open it in a browser.")
