"""Print how a run reads real handwriting: python tests/judge_handwriting.py <run or variant> [worst roots, 20]

The images lie beside the project, in ../shared/handwriting; nothing trains on them. Call it in the project's folder. It
judges by the most probable class. Half A of the writers may steer a choice; half B then tells what the choice is worth.
"""

import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from okkhor.data.pixels import prepare_images
from okkhor.data.tables import read_class_map
from okkhor.label_triples import Labels
from okkhor.pipeline.prediction import open_networks
from okkhor.pipeline.run import Run
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.decoding import decode
from okkhor.scoring.ensembling import combine
from okkhor.scoring.metric import bootstrap_heads, competition_score, interval

SHARED = Path(__file__).resolve().parents[2] / "shared"
SETS = ("many_writers", "letters", "writers")


def read_roots(run: Run, table: pd.DataFrame) -> Labels:
    """Decode the images of a table, (N, 137, 236) pixels as PNG, by the mean of the run's networks."""
    networks = open_networks(run.config(), run)
    scans = np.stack([np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), 0)) for png in table["png"]])
    images = prepare_images(scans, networks.data.size, networks.data.crop_to_ink)
    mean = combine(networks.predict(images, table["image_id"].to_numpy(str)), names=list(networks.by_name))
    return decode(mean.probabilities)


def print_scores(name: str, table: pd.DataFrame, labels: Labels, decoded: Labels) -> None:
    """Print score and macro recalls over the classes present, and 95 of 100 draws of writers (or images)."""
    writers = pd.factorize(table["writer"])[0].astype(np.int64)
    draws = bootstrap_heads(labels, [decoded], np.ones(len(table)), groups=writers if writers.max() > 9 else None)
    scores, (low, high) = competition_score(labels, decoded), interval(draws["grapheme_root"][0])
    row = "".join(f"{scores[head]:9.3f}" for head in ("score", *HEAD_NAMES))
    print(f"  {name:32}{len(table):7,}{row}   {low:.3f} to {high:.3f}")


def print_worst_roots(texts: list[str], truth: NDArray[np.int64], decoded: NDArray[np.int64], num: int) -> None:
    """Print the roots that are read worst, each with what is read instead most often."""
    recalls = pd.Series(truth == decoded).groupby(truth).mean().sort_values(kind="stable").head(num)
    for root, recall in recalls.items():
        found = pd.Series(decoded[(truth == root) & (decoded != root)]).value_counts().head(4)
        mistakes = ", ".join(f"{texts[label]} {count}" for label, count in found.items())
        print(f"  {texts[root]:8}{(truth == root).sum():5} images  {recall:.2f}  {mistakes}")


def main(name: str, num_worst: str = "20") -> None:
    run, texts = Run.open(name, None), read_class_map(SHARED / "competition")["grapheme_root"]
    print(f"  {'':32}{'images':>7}{'score':>9}{'root':>9}{'vowel':>9}{'cons.':>9}   95 of 100 draws of the root")
    for source in SETS:
        table = pd.read_parquet(SHARED / f"handwriting/{source}.parquet")
        labels = Labels(table[list(HEAD_NAMES)].to_numpy(np.int64))
        decoded = read_roots(run, table)
        is_b = table["writer"].map(lambda writer: zlib.crc32(writer.encode()) % 2).to_numpy(bool)
        is_conjunct = np.array(["্" in texts[root] for root in labels["grapheme_root"]])
        parts = {"": np.ones(len(table), bool), ", in train's 1,295": table["in_train_1295"].to_numpy(bool)}
        if source == "many_writers":
            parts = {"": parts[""], ", half A": ~is_b, ", half B": is_b}
            parts |= {", letters": ~is_conjunct, ", conjuncts": is_conjunct, ", half B, conjuncts": is_conjunct & is_b}
        for part, rows in parts.items():
            print_scores(source + part, table[rows], labels.rows(rows), decoded.rows(rows))
        if source == "many_writers":
            roots = labels["grapheme_root"], decoded["grapheme_root"]
            per_writer = pd.Series(roots[0] == roots[1]).groupby(table["writer"].to_numpy()).mean()
            print(f"  Its writers: {np.percentile(per_writer, [5, 25, 50, 75, 95]).round(2)} (5 to 95 of 100)")
            print_worst_roots(texts, *roots, int(num_worst))


if __name__ == "__main__":
    main(*sys.argv[1:])
