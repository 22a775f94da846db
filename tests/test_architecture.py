"""The floors and the house rules, read from the source by ast."""

import ast
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
FILES = sorted((PROJECT / "src/okkhor").rglob("*.py"))
HOUSE = runpy.run_path(str(PROJECT / "docs/architecture.py"))
FLOORS, PAGE = HOUSE["FLOORS"], HOUSE["PAGE"]
name_of, subject, describe_house = HOUSE["name_of"], HOUSE["subject"], HOUSE["describe_house"]

MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 250, 40, 6
MOST_MODULES, MOST_IMPORTED_LINES = 65, 6_500  # of ours, for ./run.sh fold=0 config=competition

IMPORTED_WHERE_ASKED_FOR = {
    "__main__.py: okkhor.hints",
    "__main__.py: okkhor.settings",  # needs PyYAML, and a Python that lacks it is told so
    "settings.py: okkhor.hints",
    "__init__.py: okkhor.pipeline.reader",
    "commands/train.py: okkhor.training.launch",
    "pipeline/fold.py: okkhor.training.compiling",
    "pipeline/fold.py: okkhor.training.freezing",
    "data/shards.py: okkhor.data.row_groups",
    "data/folds.py: okkhor.data.holdout",
    "pipeline/prepared.py: okkhor.rendering.sample",
    "pipeline/train.py: okkhor.pipeline.cross_validation",
    "pipeline/train.py: okkhor.training.compiling",
    "pipeline/train.py: okkhor.pipeline.pseudo_labels",
    "pipeline/training_set.py: okkhor.pipeline.pseudo_labels",
    "pipeline/training_set.py: okkhor.pipeline.rendered_images",
    "training/device.py: okkhor.training.gpu",
    "training/fit.py: okkhor.training.profiling",
}
"""The imports of ours within functions: the default run needs none of these modules."""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a file, at its top or within a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_subjects(path: Path) -> set[str]:
    modules = (module.split(".") for module in imported_modules(parse(path)))
    return {parts[1] for parts in modules if parts[0] == "okkhor" and len(parts) > 1 and parts[1] != "__version__"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_downwards_and_never_sideways(path: Path) -> None:
    own = subject(path)
    for other in imported_subjects(path) - {own}:
        # settings reads what config defines; packages of one floor, wings too, do not know each other
        allowed = FLOORS[other] < FLOORS[own] or FLOORS[other] == FLOORS[own] == 1
        assert allowed, f"{name_of(path)} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


def test_no_command_imports_a_command_and_okkhor_read_needs_none() -> None:
    for path in FILES:
        found = [module for module in imported_modules(parse(path)) if module.startswith("okkhor.commands.")]
        assert not found, f"{name_of(path)} imports {found}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {subject(path): set() for path in FILES}
    for path in FILES:
        graph[subject(path)] |= imported_subjects(path) - {subject(path)}
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}


def test_every_module_of_the_top_level_has_a_floor() -> None:
    assert {subject(path) for path in FILES} == set(FLOORS)


def test_an_import_of_ours_within_a_function_is_one_of_those_that_the_default_run_does_without() -> None:
    found = set()
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef):
                modules = {module.rpartition(".")[0] for module in imported_modules(node)}
                found |= {f"{name_of(path)}: {module}" for module in modules if module.startswith("okkhor.")}
    wings = {entry for entry in found if FLOORS[entry.split(".")[2]] == 3.5}
    assert found - wings == IMPORTED_WHERE_ASKED_FOR


def test_importing_the_package_imports_nothing_that_takes_seconds() -> None:
    code = "import sys, okkhor; assert callable(okkhor.read); print(*{'torch', 'numpy', 'PIL'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT / "src"
    )
    assert result.stdout.strip() == ""


def test_the_default_run_imports_little_of_ours(competition: Path, tmp_path: Path) -> None:
    """Training, out-of-fold score, decision rule and submission, on a folder with the competition's files."""
    code = "import json, sys; from okkhor.__main__ import main; print(json.dumps([main(sys.argv[1:]), *sys.modules]))"
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    arguments = [
        *("fold=0", "config=competition", f"data.root={competition}", "folds.num_folds=2", "data.size=32"),
        *("data.num_workers=0", "model.pretrained=false", "model.backbone=resnet10t", "train.epochs=2"),
        *("train.device=cpu", "mix.cooldown_epochs=1", "train.batch_size=4"),
    ]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT / "src"), "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stderr
    status, *modules = json.loads(result.stdout.splitlines()[-1])
    assert status == 0, result.stderr
    paths = [PROJECT / "src" / f"{name.replace('.', '/')}.py" for name in modules if name.split(".")[0] == "okkhor"]
    ours = [path for path in paths if path.exists()]
    lines = sum(path.read_text(encoding="utf-8").count("\n") for path in ours)
    assert len(ours) <= MOST_MODULES, sorted(map(name_of, ours))
    assert lines <= MOST_IMPORTED_LINES


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword; None without it."""
    words = {word.arg: word.value for word in call.keywords}
    value = words.get(name)
    return value.value if isinstance(value, ast.Constant) else None


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_loaded_from_disk_cannot_run_code(path: Path) -> None:
    tree = parse(path)
    roots = {module.split(".")[0] for module in imported_modules(tree)}
    assert not roots & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for name, call in calls(tree):
        place = f"{name_of(path)}, line {call.lineno}: {ast.unparse(call)}"
        assert name not in ("eval", "exec", "pd.read_pickle", "pandas.read_pickle", "os.system"), place
        assert name not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"), place
        if name in ("torch.load", "torch.jit.load"):
            assert keyword(call, "weights_only") is True, place
        if name in ("np.load", "numpy.load"):
            assert keyword(call, "allow_pickle") is False, place
        assert not any(word.arg == "shell" for word in call.keywords), place


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_seed_comes_from_the_clock_or_from_nowhere(path: Path) -> None:
    for name, call in calls(parse(path)):
        place = f"{name_of(path)}, line {call.lineno}: {ast.unparse(call)}"
        if name.endswith("default_rng") or name.endswith("SeedSequence"):
            assert call.args, f"{place} takes its seed from the system"
        assert not name.startswith("random."), f"{place} uses a hidden state"
        if name.startswith("np.random.") and "(" not in name:
            known = ("default_rng", "SeedSequence", "Generator", "PCG64")
            assert name.removeprefix("np.random.") in known, f"{place} uses a hidden state"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_one_subject_and_a_function_fits_the_eye(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES, f"{len(lines)} lines"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{node.name} has {length} lines"
            given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            number = sum(one.arg not in ("self", "cls") for one in given)
            assert number <= MOST_PARAMETERS, f"{node.name} takes {number} parameters"


def test_the_page_of_the_architecture_is_true() -> None:
    assert PAGE.read_text(encoding="utf-8") == describe_house(), "make it anew: python docs/architecture.py"
