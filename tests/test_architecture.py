"""The layers and the house rules, read from the source by ast."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "src/okkhor"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    **dict.fromkeys(("schema", "errors", "files", "processes"), 0),
    **dict.fromkeys(("config", "config_checks", "config_field", "config_rendering", "settings"), 1),
    **dict.fromkeys(("predictions", "label_triples", "plots"), 1),
    **dict.fromkeys(("data", "rendering", "models", "training", "scoring"), 2),
    "pipeline": 3,
    **dict.fromkeys(("report", "kaggle", "bench", "demo"), 3.5),
    "commands": 4,
    **dict.fromkeys(("__init__", "__main__"), 5),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def subject(path: Path) -> str:
    """The package or module of the top level that a file belongs to: data, config."""
    return Path(name_of(path)).parts[0].removesuffix(".py")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(tree: ast.Module) -> Iterator[str]:
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
        # settings reads what config defines; packages of one floor do not know each other
        allowed = FLOORS[other] < FLOORS[own] or FLOORS[other] == FLOORS[own] == 1
        assert allowed, f"{name_of(path)} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


def test_no_command_imports_a_command() -> None:
    for path in FILES:
        if subject(path) == "commands":
            found = [m for m in imported_modules(parse(path)) if m.startswith("okkhor.commands.")]
            assert not found, f"{name_of(path)} imports {found}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {subject(path): set() for path in FILES}
    for path in FILES:
        graph[subject(path)] |= imported_subjects(path) - {subject(path)}
    while graph:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: others for name, others in graph.items() if name not in leaves}


def test_every_module_of_the_top_level_has_a_level() -> None:
    assert {subject(path) for path in FILES} <= set(FLOORS)


def test_importing_the_package_imports_nothing_that_takes_seconds() -> None:
    code = "import sys, okkhor; assert callable(okkhor.read); print(*{'torch', 'numpy', 'PIL'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT / "src"
    )
    assert result.stdout.strip() == ""


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
        if name in ("np.load", "numpy.load", "np.fromfile.load"):
            assert keyword(call, "allow_pickle") is not True, place
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


def test_a_file_is_one_subject_and_a_function_fits_the_eye() -> None:
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 250, f"{name_of(path)} has {len(lines)} lines"
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                assert length <= 50, f"{name_of(path)}: {node.name} has {length} lines"
