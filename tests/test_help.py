"""./run.sh help: commands, and each setting with type, default, range, unit, description and choices."""

import pytest
from helpers import PROJECT

from okkhor.__main__ import COMMANDS, main
from okkhor.settings import GROUPS, SETTINGS


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["help", *arguments]) == 0
    return capsys.readouterr().out


def test_help_lists_the_commands_and_says_how_to_ask_for_more(capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys)
    assert [line.split()[0] for line in told.splitlines()[3 : 3 + len(COMMANDS)]] == list(COMMANDS)
    files = [path for path in (PROJECT / "src/okkhor/commands").glob("[a-z]*.py") if "def main(" in path.read_text()]
    assert {path.stem for path in files} <= {*COMMANDS, "help"}
    assert "`help train.epochs`" in told
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train.batch_size", ["default: 64", "a whole number from 2 to 65,536", "unit: images"]),
        ("folds.scheme", ["default: stratified", "stratified or unseen"]),
        ("hand.pen", ["default: [2.2,7.0]", "two numbers from 0.5 to 50", "unit: pixels"]),
        ("overwrite", ["default: false", "true or false"]),
        ("data.blacklist", ["default: not set", "expected: text"]),
        ("model.pretrained", ["true or false or text"]),
        ("fold", ["a whole number or a list of whole numbers or all"]),
    ],
)
def test_a_setting_is_printed_with_default_range_unit_and_choices(
    capsys: pytest.CaptureFixture[str], key: str, words: list[str]
) -> None:
    told = ask(capsys, key)
    assert told.startswith(f"{key}\n    {SETTINGS[key].description}")
    for word in words:
        assert word in told


def test_a_group_is_printed_with_all_its_settings_and_the_command_of_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = ask(capsys, "train", "score")
    keys = [line for line in told.splitlines() if line.startswith("train.")]
    assert keys == [key for key in SETTINGS if key.startswith("train.")]
    assert f"./run.sh train: {COMMANDS['train']}" in told
    assert f"./run.sh score: {COMMANDS['score']}" in told


def test_a_misspelled_name_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "train.bach_size"]) == 2
    assert "Did you mean train.batch_size?" in capsys.readouterr().err
    assert main(["trian"]) == 2
    assert "Did you mean train?" in capsys.readouterr().err


def test_the_page_of_settings_is_the_one_that_help_writes(capsys: pytest.CaptureFixture[str]) -> None:
    page = ask(capsys, "--markdown")
    assert (PROJECT / "docs/settings.md").read_text() == page, "write it: ./run.sh help --markdown > docs/settings.md"
    assert all(f"\n| `{key}` |" in page for key in SETTINGS)
    assert all(f"\n## {group}\n" in page for group in GROUPS)
