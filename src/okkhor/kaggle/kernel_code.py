"""The kernel's code, as a script and as a notebook."""

import re
from typing import Any

from okkhor.config import COMPETITION_ROOT

PLAN_FILE = "okkhor-plan.json"
"""The file of our data set that the kernel finds it by."""
ROOT_VARIABLE = "OKKHOR_KAGGLE"
"""The environment variable that a rehearsal puts its own folder in place of /kaggle with."""

TITLE = "Predicts the test images of the competition with {name}, without internet. Made by ./run.sh package."

CODE = f'''import os
import sys
from pathlib import Path

KAGGLE = Path(os.environ.get("{ROOT_VARIABLE}", "/kaggle"))


def find(name):
    """The file of that name below input/, whatever folders it is mounted in."""
    for folder, _, names in os.walk(KAGGLE / "input", followlinks=True):
        if name in names:
            return Path(folder) / name
    raise SystemExit(f"{{KAGGLE}}/input has no {{name}}: add the competition and the data set as inputs.")


plan = find("{PLAN_FILE}")
sys.path.insert(0, str(next(plan.parent.glob("okkhor-*.whl"))))  # all else that it needs is in Kaggle's image

from okkhor.kaggle.kernel import predict_offline

predict_offline(plan, find("test.csv").parent, KAGGLE / "working/submission.csv")
'''


def make_script(name: str) -> str:
    return f'"""{TITLE.format(name=name)}"""\n\n{CODE}'


def make_notebook(name: str) -> dict[str, Any]:
    """The same code as a notebook of one cell, in the format nbformat 4.5."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {}, "source": TITLE.format(name=name)},
            {
                "cell_type": "code",
                "id": "predict",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": CODE,
            },
        ],
    }


COMPETITION = COMPETITION_ROOT.rpartition("/")[2]
NO_USER = "INSERT_USER_HERE"
LONGEST_SLUG = 50  # characters, of a data set and its title


def make_slug(name: str) -> str:
    """The last part of the address on Kaggle: small Latin letters, digits and hyphens."""
    latin = re.sub(r"[^a-z0-9]+", "-", f"okkhor-{name}".lower())[:LONGEST_SLUG].strip("-")
    return latin if latin != "okkhor" else "okkhor-package"


def describe_dataset(user: str, slug: str) -> dict[str, Any]:
    """dataset-metadata.json. The title must make the slug when Kaggle turns it into one."""
    return {
        "title": slug.replace("-", " "),
        "id": f"{user or NO_USER}/{slug}",
        "licenses": [{"name": "other"}],  # weights: what they were trained on has terms of its own
    }


def describe_kernel(user: str, slug: str, code_file: str) -> dict[str, Any]:
    """kernel-metadata.json: as the competition demands, without internet."""
    return {
        "id": f"{user or NO_USER}/{slug}",
        "title": slug.replace("-", " "),
        "code_file": code_file,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": [f"{user or NO_USER}/{slug}"],
    }
