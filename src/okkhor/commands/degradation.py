"""./run.sh degradation: train ResNet-34 with and without shortcuts on one fold; draw the two learning curves."""

from collections.abc import Sequence

from okkhor.errors import ConfigError
from okkhor.pipeline.run import RUNS, Run
from okkhor.pipeline.train import train_folds
from okkhor.plots import draw_curves
from okkhor.settings import load_config, select_folds

NETWORKS = {"ResNet-34": "article_resnet34", "the same without shortcuts": "article_plain34"}


def main(arguments: Sequence[str]) -> None:
    given = load_config(["config=degradation", *arguments])
    folds = select_folds(0 if given.fold is None else given.fold, given.folds.num_folds)
    if len(folds) > 1:
        raise ConfigError(f"fold={given.fold}: degradation compares two networks on one fold. Name one: fold=0")
    logs = {}
    for title, backbone in NETWORKS.items():
        run = f"{given.run}-{backbone.removeprefix('article_')}"
        config = load_config(["config=degradation", *arguments, f"run={run}", f"model.backbone={backbone}"])
        print(f"\n{title}: {backbone}")
        train_folds(config, folds)
        logs[title] = Run(run).read_log(folds[0])
    picture = RUNS / f"{given.run}.png"
    draw_curves(logs, picture)
    print(f"{picture}: the two curves.")
