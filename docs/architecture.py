"""Make docs/architecture.md from the docstrings, `python docs/architecture.py`; a test keeps the page true."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src/okkhor"
PAGE = Path(__file__).with_suffix(".md")

FLOORS = {
    **dict.fromkeys(("schema", "errors", "files", "processes"), 0),
    **dict.fromkeys(("config", "config_checks", "config_field", "config_rendering", "hints", "settings"), 1),
    **dict.fromkeys(("predictions", "label_triples", "plots"), 1),
    **dict.fromkeys(("data", "rendering", "models", "training", "scoring"), 2),
    "pipeline": 3,
    **dict.fromkeys(("report", "kaggle", "bench", "demo"), 3.5),
    "commands": 4,
    **dict.fromkeys(("__init__", "__main__"), 5),
}
TEXTS = {
    5: "The door: a command by its name, exit statuses; `okkhor.read`.",
    4: "One thin file a command: arguments, one call, print.",
    3.5: "The wings: each is one whole subject with its templates, pictures and texts.",
    3: "What needs several packages: a run, prepared input, a fold, inference, scores, decisions.",
    2: "Each package is one subject.",
    1: "What the packages exchange.",
    0: "Nothing of ours.",
}


def describe_house() -> str:
    """docs/architecture.md: the floors, and every file with the first sentence of its docstring."""
    parts = [
        "# Architecture",
        "",
        "`python docs/architecture.py` makes this page from the docstrings; a test keeps it true. An import goes",
        "downwards only. Packages of one floor do not know each other: no command imports a command, no wing a wing.",
        "",
        "The way of the data: `input/ -> cache (uint8 memmap) -> folds/<name>.csv -> train one fold (augment ->",
        "network -> loss) -> out-of-fold predictions -> score, decision.json -> test predictions -> ensemble ->",
        "decode -> submissions/<name>.csv`. One table, `Predictions`, carries out-of-fold and test probabilities; one",
        "function, `pipeline.inference.predict`, makes both.",
    ]
    for floor in sorted(TEXTS, reverse=True):
        parts += ["", f"## Floor {floor:g}".replace("3.5", "3b"), "", TEXTS[floor], ""]
        for path in sorted(PACKAGE.rglob("*.py")):
            if FLOORS[subject(path)] == floor and (text := first_sentence(path)):
                parts.append(f"- `{name_of(path)}`: {text}")
    return "\n".join(parts) + "\n"


def first_sentence(path: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0].split())
    return re.sub(r"\.$", "", text)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def subject(path: Path) -> str:
    """The package or module of the top level that a file belongs to: data, config."""
    return Path(name_of(path)).parts[0].removesuffix(".py")


if __name__ == "__main__":
    PAGE.write_text(describe_house(), encoding="utf-8")
