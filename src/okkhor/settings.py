"""How presets and `key=value` arguments become a Config.

Ctrl-C waits for that, up to 100 ms: an exception in the middle of OmegaConf comes out as an error in the settings.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from okkhor.config import COMPETITION_ROOT, Config
from okkhor.errors import ConfigError
from okkhor.limits import check_config
from okkhor.processes import ctrl_c_waits

PRESETS = Path("configs")


@ctrl_c_waits()
def load_config(arguments: Sequence[str]) -> Config:
    """`key=value` arguments, over the preset that `config=` names or choose_preset chooses, over the defaults.

    Raises ConfigError for an unknown key, a value of the wrong type or out of its range, or a missing preset.
    """
    given = [split_argument(argument) for argument in arguments]
    preset = dict(given).get("config") or choose_preset()
    if preset not in list_presets():
        raise ConfigError(f"config={preset}: no such preset. Presets in configs/: {', '.join(list_presets())}.")
    base = _read_base(PRESETS / f"{preset}.yaml")
    result = replace(_apply(base, given), config=preset)
    if not result.run:
        root = result.data.root
        own_data = root == _to_object(base).data.root
        folder = re.sub(r"[^\w.-]+", "-", Path(root).name)
        result = replace(result, run=preset if own_data else f"{preset}-{folder}")
    return check_config(result)


@ctrl_c_waits()
def load_stored(path: Path, arguments: Sequence[str] = ()) -> Config:
    """`key=value` arguments over a run's config.yaml. Raises ConfigError as load_config does."""
    return check_config(_apply(_read_base(path), [split_argument(argument) for argument in arguments]))


@ctrl_c_waits()
def load_arguments(arguments: Sequence[str]) -> Config:
    """`key=value` arguments over the defaults alone: for commands that take all else from a run."""
    return check_config(_apply(_schema(), [split_argument(argument) for argument in arguments]))


def _read_base(path: Path) -> DictConfig:
    content = read_yaml(path)
    content.pop("environment", None)  # a run's notes on versions, no settings
    return _merge(_schema(), content, where=str(path))


def _apply(config: DictConfig, given: Iterable[tuple[str, str]]) -> Config:
    for key, raw in given:
        config = _merge(config, _nest(key, parse_value(key, raw)), where=f"{key}={raw}")
    return _to_object(config)


def choose_preset() -> str:
    """`competition` where Kaggle's files are, else `sample`; says which and why."""
    train = Path(COMPETITION_ROOT) / "train.csv"
    preset, verb = ("competition", "is there") if train.exists() else ("sample", "is not there")
    print(f"Preset: {preset}, since {train} {verb}.")
    return preset


def list_presets() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError where it is none."""
    try:
        content = load_yaml(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: can't be read as YAML: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(content).__name__}.")
    return content


def load_yaml(text: str) -> Any:
    """Safe YAML. Raises yaml.YAMLError for whatever is wrong with it."""
    try:
        return yaml.safe_load(text)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:  # dates, tags, thousands of brackets
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def split_argument(argument: str) -> tuple[str, str]:
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{argument}' is not a setting. Settings are written key=value, for example fold=0.")
    return key, value


def parse_value(key: str, raw: str) -> Any:
    """YAML, except that a text setting takes its text as it stands (run=007 is not 7)."""
    if "${" in raw or raw.strip() == "???":
        raise ConfigError(f"{key}={raw}: OmegaConf would take ${{...}} or ??? for a reference. Write the value itself.")
    try:
        if isinstance(OmegaConf.select(_schema(), key), str):
            return raw
        return load_yaml(raw)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{key}={raw}: can't be read: {_one_line(error)}") from error


@cache
def _schema() -> DictConfig:
    """The defaults, read only: reading them off the classes takes 20 ms."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, True)
    return schema


def select_folds(fold: Any, num_folds: int) -> list[int]:
    """`0`, `[0, 2]` or `all` -> fold numbers, each once. Raises ConfigError for anything else."""
    if fold == "all":
        return list(range(num_folds))
    numbers = fold if isinstance(fold, list) else [fold]
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < num_folds:
            raise ConfigError(f"fold={fold}: expected a number from 0 to {num_folds - 1}, a list as [0,2], or all.")
    if not numbers:
        raise ConfigError("fold=[]: no fold is named.")
    return sorted(set(numbers))


def differing_settings(one: Config, other: Config, ignored: Iterable[str]) -> list[str]:
    """The keys whose values differ, such as `data.size`, without the ignored ones (keys, or groups such as `data`)."""
    flat_one, flat_other = flatten_settings(one), flatten_settings(other)
    groups = tuple(f"{key}." for key in ignored)  # with the dot: `fold` is no part of `folds.seed`
    return [key for key, value in flat_one.items() if value != flat_other[key] and not f"{key}.".startswith(groups)]


@ctrl_c_waits()
def flatten_settings(config: Config) -> dict[str, Any]:
    """Every setting by its key, such as `data.size`."""
    return _flatten(OmegaConf.to_container(OmegaConf.structured(config)))


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    items: dict[str, Any] = {}
    for key, value in tree.items():
        items |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return items


def _nest(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merge(config: DictConfig, change: dict[str, Any], where: str) -> DictConfig:
    try:
        merged = OmegaConf.merge(config, change)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: {_explain(error)}") from error
    assert isinstance(merged, DictConfig)
    OmegaConf.set_readonly(merged, False)
    return merged


def _to_object(config: DictConfig) -> Config:
    try:
        result = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error)) from error
    assert isinstance(result, Config)
    return result


def _explain(error: Exception) -> str:
    text = _one_line(error)
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        text = re.sub(r"^Key '(.*?)' not in '\w+'", r"there is no setting '\1'", text)
        return text + ("" if text.endswith("?") else ".") + " Every setting stands in src/okkhor/config.py."
    return text.replace("Value '$VALUE' of type '$VALUE_TYPE'", "A value in it")  # which OmegaConf leaves unfilled


def _one_line(error: Exception) -> str:
    """The message without OmegaConf's notes on its own classes, and without YAML's picture of the place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}."
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not re.match(r"(full_key|reference_type|object_type):|\w+_type=", line)]
    return " ".join(kept)[:300]
