"""The two files that Kaggle's client uploads by: what a data set and what a kernel is called and needs."""

import re
from typing import Any

from okkhor.config import COMPETITION_ROOT

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
