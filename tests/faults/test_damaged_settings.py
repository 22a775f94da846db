"""Any value of any setting is taken as written, or refused with the setting's name."""

import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from damage import BYTE_DAMAGE, call_told, check_error, damage_file, make_project
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from okkhor.config import Config
from okkhor.errors import ConfigError
from okkhor.settings import load_arguments, load_stored

pytestmark = pytest.mark.slow

STRANGE_VALUES = (
    *("", " ", "0", "-1", "1", "1.5", "1e400", "-1e400", ".nan", ".inf", "1e-320", "0x10", "1_000", "1:30", "9" * 5000),
    *("true", "yes", "null", "~", "[]", "[1]", "[1,2,3]", "[[1]]", "[[]]", "[null]", "{}", "{a: 1}", "{a", "]"),
    *("all", "smoke", "2026-01-01", "2026-99-99", "!!int x", "!!float x", "!!bool x", "!!timestamp x", "!!binary x"),
    *("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!x y", "&a [*a]", "&a [1, *a]", "*a"),
    *("${seed}", "${oc.env:HOME}", "???", "'", '"', "%", "|", ">", "- a", "a: b: c", "\t", "\n", "\0", "\x1b[2J"),
    *("../../x", "/etc", "..", ".", "~root", "a/b", "a\\b", "ক", "é", "e\u0301", "\u202e", "\ufeff", "\udcff", "😀"),
    *("x" * 99, "x" * 300, "x" * 5000, "ক" * 60, "[" * 3000, "{a: " * 500, "[" + "1," * 300 + "1]"),
    *("cuda:0", "cuda:999999999999", "meta", "cpu:1", "hf-hub:x/y", "local-dir:/tmp", "resnet34.x", "affine+", "+"),
)
VALUES = st.one_of(
    st.sampled_from(STRANGE_VALUES),
    st.text(max_size=20),
    st.floats().map(repr),
    st.integers().map(str),
    st.recursive(st.none() | st.booleans() | st.integers(), st.lists, max_leaves=5).map(json.dumps),
)


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"data": {"size": 128}} -> {"data.size": 128}."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    start = f"{prefix}." if prefix else ""
    return {key: value for name, branch in tree.items() for key, value in flatten(branch, f"{start}{name}").items()}


DEFAULTS = flatten(asdict(Config()))
KEYS = (*DEFAULTS, "data", "train", "hand", "nosuch", "data.nosuch", "data.size.x", ".", "data.", "..size", "ক")


def check_plain(config: Config, folder: Path) -> None:
    """Check that each value has its type, is finite and not endless, and that a file of settings keeps it."""
    for key, value in flatten(asdict(config)).items():
        assert type(value) in (type(DEFAULTS[key]), bool, str) or key == "fold", key
        for item in value if isinstance(value, tuple) else [value]:
            assert not isinstance(item, str) or (len(item.encode()) <= 4000 and "\0" not in item), key
            assert not isinstance(item, float) or math.isfinite(item), key
    path = folder / "stored.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(config)))))
    assert replace(load_stored(path), bench=config.bench) == config  # bench.* says nothing of a run


@given(key=st.sampled_from(KEYS), value=VALUES)
@example("fold", "2026-99-99")
@example("fold", "!!bool x")
@example("train.epochs", "9" * 5000)
@example("fold", "[" * 3000)
@example("data.root", "\udcff")
@example("data.root", "a\0b")
@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_a_setting_is_taken_as_written_or_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: str
) -> None:
    try:
        config = load_arguments([f"{key}={value}"])
    except ConfigError as error:
        check_error(error, f"^'?{re.escape(key.split('.')[0])}")
        return
    check_plain(config, tmp_path_factory.getbasetemp())
    taken = flatten(asdict(config))[key]
    if isinstance(DEFAULTS[key], str):
        assert taken == value
    elif isinstance(taken, int | float) and not isinstance(taken, bool):
        assert float(taken) == float(yaml.safe_load(value))


@pytest.mark.parametrize(
    "key",
    [
        *("data.root", "run", "fold", "train.device", "model.backbone", "model.pretrained", "model.init_from"),
        *("data.pseudo", "augment.policy", "data.blacklist", "data.cache_dir"),
    ],
)
def test_a_strange_value_is_told_before_anything_slow(tmp_path: Path, key: str) -> None:
    """No image is there, so a value that nothing refuses ends with data.root, which is read first."""
    project = make_project(tmp_path / "project")
    for value in sorted({*STRANGE_VALUES[::4]} - {"true", "yes", "1"}):  # weights to download
        arguments = ("config=competition", "model.pretrained=false", f"{key}={value}")
        assert call_told(project, "train", *arguments).returncode == 2


@pytest.mark.parametrize("seed", range(10 * len(BYTE_DAMAGE)))
def test_a_damaged_config_yaml_is_read_as_written_or_refused_by_name(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "config.yaml"
    content = yaml.safe_dump(json.loads(json.dumps(asdict(Config())))).encode()
    damage_file(path, content, seed)
    try:
        config = load_stored(path)
    except ConfigError as error:
        check_error(error, r"config\.yaml|[a-z_]+=")
        return
    written = flatten(yaml.safe_load(path.read_bytes()) or {})
    check_plain(config, tmp_path)
    for key, value in flatten(asdict(config)).items():
        if key in written and not isinstance(value, str | tuple):
            assert value == written[key]
