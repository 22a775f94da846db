"""./run.sh help [command, setting or group]...: what it does, or its default, range and unit.

`./run.sh help --markdown > docs/settings.md` writes the page of all settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from okkhor.config_field import Setting
from okkhor.errors import ConfigError
from okkhor.hints import explain_unknown
from okkhor.settings import GROUPS, SETTINGS


def main(arguments: Sequence[str], commands: Mapping[str, str]) -> None:
    if arguments == ["--markdown"]:
        print("\n".join(make_page()))
        return
    for name in arguments:
        lines = [f"./run.sh {name}: {commands[name]}"] if name in commands else []
        if name in GROUPS:
            lines.append(f"{name}: {describe_group(name)}")
        lines += [describe(one) for one in SETTINGS.values() if one.key == name or one.key.startswith(f"{name}.")]
        if not lines:
            raise ConfigError(f"help {name[:100]}: {explain_unknown(name, SETTINGS, GROUPS)}")
        print("\n".join(lines))


def describe(one: Setting) -> str:
    unit = f"; unit: {one.unit}" if one.unit else ""
    return f"{one.key}\n    {one.description}\n    default: {show(one.default)}; expected: {one.expected}{unit}"


def describe_group(name: str) -> str:
    return " ".join(GROUPS[name].__doc__.split())


def show(value: Any) -> str:
    """Write a value as it is typed: true, [64,128]."""
    if isinstance(value, tuple):
        return f"[{','.join(map(show, value))}]"
    if value is None or value == "":
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def make_page() -> Iterator[str]:
    """Yield the lines of docs/settings.md."""
    yield "# Settings\n"
    yield "Set them by `key=value` after a command, or in a preset of configs/. `./run.sh help <group>` prints a group."
    yield "This page is written by `./run.sh help --markdown` from src/okkhor/config.py and config_rendering.py."
    for group in ("", *GROUPS):
        yield f"\n## {group or 'Top level'}\n"
        yield f"{describe_group(group)}\n" if group else "Settings without a group.\n"
        yield "| setting | default | expected | unit | meaning |\n|---|---|---|---|---|"
        for one in SETTINGS.values():
            if one.key.rpartition(".")[0] == group:
                cells = (f"`{one.key}`", show(one.default), one.expected, one.unit, one.description)
                yield f"| {' | '.join(cells)} |".replace("<", "\\<")
