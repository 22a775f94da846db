"""./run.sh degradation: ResNet-34 and its plain twin, trained alike on one fold; the two curves as a picture."""

from collections.abc import Sequence

from okkhor.commands.train import train_folds
from okkhor.reporting.curves import draw_curves
from okkhor.runs import RUNS, fold_folder, read_log
from okkhor.settings import load_config, select_folds

NETWORKS = {"ResNet-34": "article_resnet34", "the same without shortcuts": "article_plain34"}


def main(arguments: Sequence[str]) -> None:
    logs = {}
    for title, backbone in NETWORKS.items():
        run = f"degradation-{backbone.removeprefix('article_')}"
        config = load_config(["config=degradation", *arguments, f"run={run}", f"model.backbone={backbone}"])
        fold = select_folds(0 if config.fold is None else config.fold, config.folds.num_folds)[0]
        print(f"\n{title}: {backbone}")
        train_folds(config, [fold])
        logs[title] = read_log(fold_folder(run, fold))
    picture = RUNS / "degradation.png"
    draw_curves(logs, picture)
    print(f"{picture}: the two curves.")
