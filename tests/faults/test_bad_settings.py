"""Settings that nobody should write are taken as they stand, or refused with the setting's name."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from damage import BYTE_DAMAGE
from hypothesis import example, given
from hypothesis import strategies as st
from tries import Mutation, call, check_error, in_project, property_settings, record

from okkhor.commands import train as train_command
from okkhor.config import Config
from okkhor.errors import ConfigError, InputError
from okkhor.settings import SETTINGS, load_arguments, load_config, load_stored

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


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """`data.size` -> its value, for every setting."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    start = f"{prefix}." if prefix else ""
    return {key: value for name, branch in tree.items() for key, value in flatten(branch, f"{start}{name}").items()}


DEFAULTS = flatten(asdict(Config()))
KEYS = (*DEFAULTS, "data", "train", "hand", "nosuch", "data.nosuch", "data.size.x", ".", "data.", "..size", "ক")
VALUES = st.one_of(
    st.sampled_from(STRANGE_VALUES),
    st.text(max_size=20),
    st.floats().map(repr),
    st.integers().map(str),
    st.recursive(st.none() | st.booleans() | st.integers(), st.lists, max_leaves=5).map(json.dumps),
)


def check_plain(config: Config) -> None:
    """What was taken is of the declared kinds and within the declared ranges, and all text can be written anywhere."""
    values = flatten(asdict(config))
    for key, one in SETTINGS.items():
        assert one.convert(values[key]) == values[key], key
    for key, value in values.items():
        assert type(value) in (type(DEFAULTS[key]), bool, str) or key == "fold", key
        for text in value if isinstance(value, tuple) else [value]:
            if isinstance(text, str):
                text.encode()
                assert "\0" not in text
                assert len(text) <= 1000
            assert not isinstance(text, float) or math.isfinite(text), key


@given(key=st.sampled_from(KEYS), value=VALUES)
@example("fold", "2026-99-99")
@example("fold", "!!bool x")
@example("train.epochs", "9" * 5000)
@example("fold", "[" * 3000)
@example("data.root", "\udcff")
@example("data.root", "a\0b")
@property_settings(30, 1500)
def test_a_setting_is_taken_as_it_stands_or_refused_by_name(key: str, value: str) -> None:
    told = ""
    try:
        check_read(load_arguments([f"{key}={value}"]), key, value)
    except ConfigError as error:
        told = f"Settings: {error}\n"
    record("key=value", "refused" if told else "read")
    assert not told or told.removeprefix("Settings: ").startswith((key.split(".")[0], f"'{key}"))


def check_read(config: Config, key: str, value: str) -> None:
    check_plain(config)
    read = flatten(asdict(config))[key]
    if isinstance(DEFAULTS[key], str):
        assert read == value
    elif isinstance(read, int | float) and not isinstance(read, bool):
        assert float(read) == float(yaml.safe_load(value))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return in_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize(
    "key",
    [
        *("data.root", "run", "fold", "train.device", "model.backbone", "model.pretrained", "model.init_from"),
        *("data.pseudo", "augment.policy", "config", "data.blacklist", "overwrite", "sample.root", "data.cache_dir"),
    ],
)
@given(value=VALUES)
@property_settings(2, 60)
def test_what_is_not_refused_at_once_is_refused_in_a_line_before_anything_slow(
    project: Path, key: str, value: str
) -> None:
    def stop(_config: Config) -> None:
        raise InputError("everything before preparation went well")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_command, "prepare", stop)
        arguments = [f"{key}={value}"] if key == "config" else ["config=smoke", f"{key}={value}"]
        status, _, told = call(project, "train", *arguments)
    record(f"train {key}", "read" if "went well" in told else "refused")
    assert status == 2


@given(mutation=st.sampled_from(BYTE_DAMAGE), random=st.integers(0, 2**32).map(Random))
@property_settings(20, 600)
def test_a_damaged_config_yaml_is_read_as_it_stands_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, mutation: Mutation, random: Random
) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_bytes(mutation(yaml.safe_dump(json.loads(json.dumps(asdict(Config())))).encode(), random))
    try:
        config = load_stored(path)
    except ConfigError as error:
        record("config.yaml", "refused")
        check_error(error)
        return
    record("config.yaml", "read")
    check_plain(config)
    written = flatten(yaml.safe_load(path.read_bytes()) or {})
    for key, value in flatten(asdict(config)).items():
        if key in written and not isinstance(value, str | tuple):
            assert value == written[key]


@pytest.mark.parametrize("value", STRANGE_VALUES)
def test_a_preset_in_any_shape_is_refused_by_name_or_read(tmp_path: Path, value: str) -> None:
    path = tmp_path / "x.yaml"
    for content in (value, f"run: {value}\ndata:\n  size: {value}\n", f"runs: [{value}]\n"):
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        try:
            check_plain(load_stored(path))
            record("preset", "read")
        except ConfigError as error:
            record("preset", "refused")
            check_error(error)


def test_the_presets_are_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    for preset in ("sample", "smoke", "competition"):
        check_plain(load_config([f"config={preset}"]))
