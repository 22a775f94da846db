"""`load_config`, `load_stored`, `load_arguments`: presets, files and `key=value` arguments become a Config."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from okkhor.config import COMPETITION_ROOT, Config
from okkhor.config_checks import find_problems
from okkhor.config_field import list_settings
from okkhor.errors import ConfigError, first_line

PRESETS = Path("configs")
SETTINGS = {one.key: one for one in list_settings(Config)}
GROUPS: dict[str, Any] = {one.name: one.type for one in fields(Config) if is_dataclass(one.type)}
REMOVED = {
    "data.rendered_epochs": 1,
    "model.hidden": 0,
    "augment.cooldown_epochs": 0,
    "augment.cooldown_strength": 0.3,
    "loss.hard_from_epoch": 0,
}
"""Settings that 0.2.0 removed, with the defaults, which meant `off`: config.yaml of a run of 0.1.0 has them."""
CALLER = "OKKHOR_CALLER"
"""The variable with the folder in which run.sh was called: relative paths that a person types start there."""
MOST_PROBLEMS = 10  # lines that are told: a damaged file may have hundreds


def load_config(arguments: Sequence[str]) -> Config:
    """Put `key=value` arguments over the preset that `config=` names or choose_preset chooses.

    Raises ConfigError with a line for each unknown key, bad value and bad combination of values.
    """
    draft, presets = Draft(), sorted(path.stem for path in PRESETS.glob("*.yaml"))
    preset = dict(argument.partition("=")[::2] for argument in arguments).get("config") or choose_preset()
    if preset in presets:
        draft.take_file(PRESETS / f"{preset}.yaml")
    else:
        draft.refuse("config", f"config={preset[:100]}: no such preset. Presets in configs/: {', '.join(presets)}.")
    root = draft.values["data.root"]
    draft.take_arguments(arguments)
    draft.values["config"] = preset
    if not draft.values["run"] and "config" not in draft.refused:
        given = draft.values["data.root"]
        folder = re.sub(r"[^\w.-]+", "-", Path(given).name)
        draft.values["run"] = preset if given == root else f"{preset}-{folder}"
    return draft.finish()


def load_stored(path: Path, arguments: Sequence[str] = ()) -> Config:
    """Put `key=value` arguments over a run's config.yaml. Raises ConfigError as load_config does."""
    return Draft().take_file(path, is_stored=True).take_arguments(arguments).finish()


def load_arguments(arguments: Sequence[str]) -> Config:
    """Put `key=value` arguments over the defaults, for commands that take the rest from a run."""
    return Draft().take_arguments(arguments).finish()


class Draft:
    """A Config in the making. values: by key. problems: a line each. refused: the keys that they are about."""

    def __init__(self) -> None:
        self.values = {key: one.default for key, one in SETTINGS.items()}
        self.problems: list[str] = []
        self.refused: set[str] = set()

    def take_file(self, path: Path, is_stored: bool = False) -> Self:
        """Take the values of a YAML file. is_stored: a run's file, which may have REMOVED settings that are off."""
        content = read_yaml(path)
        content.pop("environment", None)  # a run's notes on versions, not settings
        for key, value in flatten(content).items():
            place = f"{path}: {key}={str(value)[:40]}"
            if is_stored and key.startswith("bench."):  # of no meaning to a run, and 0.1.0 had others
                continue
            if not is_stored or key not in REMOVED:
                self.take(key, value, place)
            elif value != REMOVED[key]:
                self.refuse(key, f"{place}: this setting was removed in 0.2.0; use the run with Okkhor 0.1.0.")
        return self

    def take_arguments(self, arguments: Sequence[str]) -> Self:
        """Take the values as YAML, except for texts: run=007 is not 7."""
        for argument in arguments:
            try:
                key, raw = split_argument(argument)
                is_text = key in SETTINGS and SETTINGS[key].kind is str
                value = raw if is_text else load_yaml(raw, argument[:100])
            except ConfigError as error:
                self.refuse(argument.partition("=")[0], str(error))
                continue
            for inner, one in flatten({key: value}).items():
                self.take(inner, one, argument[:100], os.environ.get(CALLER, ""))
        return self

    def take(self, key: str, value: Any, place: str, start: str = "") -> None:
        """Take a value that YAML gives. place: begins the message where it is refused. start: as for `convert`."""
        if key not in SETTINGS:
            from okkhor.hints import explain_unknown  # where something is wrong

            self.refuse(key, f"{place}: {explain_unknown(key, SETTINGS, GROUPS, str(value))}")
            return
        try:
            self.values[key] = SETTINGS[key].convert(value, start)
        except ValueError as error:
            is_list = isinstance(value, str) and ("," in value or "or" not in str(error)) and "a list" in str(error)
            self.refuse(key, f"{place}: {error}.{f' Write {key}=[{value}].' if is_list else ''}")

    def refuse(self, key: str, problem: str) -> None:
        self.refused.add(key)
        self.problems.append(" ".join(problem.splitlines()))

    def finish(self) -> Config:
        """Make the Config. Raises ConfigError with all problems, without combinations of a value that was refused."""
        groups = {
            name: group(**{one.name: self.values[f"{name}.{one.name}"] for one in fields(group)})
            for name, group in GROUPS.items()
        }
        config = Config(**groups, **{key: value for key, value in self.values.items() if "." not in key})
        combined = (line for line in find_problems(config) if not self.refused & set(re.findall(r"[\w.]+", line)))
        problems = list(dict.fromkeys([*self.problems, *combined]))
        if len(problems) > MOST_PROBLEMS:
            problems[MOST_PROBLEMS:] = [f"... and {len(problems) - MOST_PROBLEMS} more."]
        if problems:
            raise ConfigError("\n".join(problems))
        return config


def choose_preset() -> str:
    """Choose `competition` where Kaggle's files are, else `sample`; print which and why."""
    train = Path(COMPETITION_ROOT) / "train.csv"
    preset, verb = ("competition", "is there") if train.exists() else ("sample", "is not there")
    print(f"Preset: {preset}, since {train} {verb}.")
    return preset


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file. Raises ConfigError where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read as YAML: {first_line(error)}") from error
    content = load_yaml(text, str(path)) or {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, found a {type(content).__name__}.")
    return content


def load_yaml(text: str, place: str) -> Any:
    """Load safe YAML. Raises ConfigError for whatever is wrong with it, such as a thousand brackets or a bad date."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            reason = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"
        raise ConfigError(f"{place}: can't be read as YAML: {reason}.") from error


def split_argument(argument: str) -> tuple[str, str]:
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{argument[:100]}' is not a setting. Settings are written key=value, for example fold=0.")
    return key, value


def select_folds(fold: Any, num_folds: int) -> list[int]:
    """`0`, `[0, 2]` or `all` -> fold numbers, each once. Raises ConfigError for anything else."""
    numbers = range(num_folds) if fold == "all" else fold if isinstance(fold, list) else [fold]
    for number in numbers:
        if type(number) is not int or not 0 <= number < num_folds:
            raise ConfigError(f"fold={fold}: expected a number from 0 to {num_folds - 1}, a list as [0,2], or all.")
    if not numbers:
        raise ConfigError("fold=[]: no fold is named.")
    return sorted(set(numbers))


def differing_settings(one: Config, other: Config, ignored: Iterable[str]) -> list[str]:
    """The keys whose values differ, such as `data.size`, without the ignored ones (keys, or groups such as `data`)."""
    flat_one, flat_other = flatten_settings(one), flatten_settings(other)
    groups = tuple(f"{key}." for key in ignored)  # with the dot: `fold` is no part of `folds.seed`
    return [key for key, value in flat_one.items() if value != flat_other[key] and not f"{key}.".startswith(groups)]


def flatten_settings(config: Config) -> dict[str, Any]:
    """Every setting by its key, such as `data.size`; tuples as lists."""
    flat = flatten(asdict(config))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def flatten(content: Mapping[Any, Any]) -> dict[str, Any]:
    """{"data": {"size": 32}} -> {"data.size": 32}."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        is_group = name in GROUPS and isinstance(value, dict)
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if is_group else {str(name): value}
    return flat
