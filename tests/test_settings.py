"""From presets and key=value arguments to a Config, or a line for everything that is wrong with them."""

import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import PROJECT, Refused

from okkhor import settings
from okkhor.config import Config, FoldsConfig
from okkhor.errors import ConfigError
from okkhor.settings import REMOVED, SETTINGS, choose_preset, differing_settings, load_config, load_stored, select_folds


@pytest.fixture(autouse=True)
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets of its own: quick.yaml."""
    monkeypatch.setattr(settings, "PRESETS", tmp_path)
    (tmp_path / "quick.yaml").write_text("data: {root: input/quick, size: 32}\ntrain: {epochs: 2}\n")
    return tmp_path


def load(*arguments: str) -> Config:
    return load_config(["config=quick", *arguments])


def test_arguments_go_over_the_preset_which_goes_over_the_defaults() -> None:
    config = load("train.epochs=5", "seed=1", "seed=2")
    assert (config.train.epochs, config.data.size, config.folds.num_folds) == (5, 32, FoldsConfig().num_folds)
    assert config.seed == 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed=0", 0),
        ("overwrite=true", True),
        ("overwrite=1", True),
        ("run=007", "007"),
        ("run=1e3", "1e3"),
        ("data.root=/a b/c=d", "/a b/c=d"),
        ("optimizer.learning_rate=1e-3", 0.001),
        ("model.pretrained=true", True),
        ("model.pretrained=weights/a.safetensors", "weights/a.safetensors"),
        ("runs=[a,b]", ("a", "b")),
        ("loss.head_weights=[1,1,2]", (1.0, 1.0, 2.0)),
        ("bench.sizes=[64]", (64,)),
        ("hand.slant=[0,0.1]", (0.0, 0.1)),
        ("fold=all", "all"),
        ("fold=[0,2]", [0, 2]),
    ],
)
def test_a_value_is_read_as_its_setting_needs_it(argument: str, value: object) -> None:
    config: object = load(argument)
    for part in argument.split("=")[0].split("."):
        config = getattr(config, part)
    assert config == value
    assert type(config) is type(value)


ARGUMENT_FAULTS = {
    "train.epoch=3": ["train.epoch=3", "no such setting", "Did you mean train.epochs?"],
    "modle=resnet": ["Did you mean model?"],
    "a-b=c": ["a-b=c: there is no such setting", "docs/settings.md"],
    "data=3": ["data=3", "a group of settings", "./run.sh help data"],
    "data={sise: 3}": ["data={sise: 3}", "Did you mean data.size?"],
    "data..size=3": ["data..size=3"],
    "=3": ["'=3' is not a setting", "key=value"],
    "train.epochs=abc": ["train.epochs=abc", "a whole number from 1 to 100,000"],
    "seed=true": ["seed=true", "a whole number"],
    "overwrite=maybe": ["overwrite=maybe", "true or false"],
    "runs=a": ["runs=a", "a list such as [a,b]"],
    "loss.head_weights=[1,1]": ["loss.head_weights=[1.0, 1.0]", "three numbers"],
    "loss.head_weights=[0,0,0]": ["loss.head_weights=[0,0,0]", "nothing would be learnt"],
    "loss.head_weights=[1,1,-1]": ["loss.head_weights", "from 0"],
    "hand.slant=[0.1,0]": ["hand.slant=[0.1,0]", "two numbers from -2 to 2", "the lower one first"],
    "hand.slant=[0,0.1,0.2]": ["hand.slant=[0,0.1,0.2]", "two numbers"],
    "optimizer.learning_rate=.nan": ["optimizer.learning_rate=.nan", "1e-09 to 100"],
    "train.accumulate=5": ["train.batch_size=64 does not divide into 5 micro-batches"],
    "train.accumulate=64": ["too few for batch norm"],
    "optimizer.cycles=2": ["optimizer.schedule=restarts"],
    "train.swa_epochs=3": ["train.swa_epochs=3", "train.epochs=2"],
    "train.first_size=40": ["train.first_size=40", "16 to data.size=32"],
    "mix.cooldown_epochs=3": ["mix.cooldown_epochs=3", "train.epochs=2"],
    "run=../../x": ["run=../../x", "letters, digits"],
    f"run={'x' * 101}": ["100 at most"],
    "run=a\nb": ["run=a b", "control character"],
    f"data.root={'x' * 1001}": ["at most 1,000 characters"],
    "runs=[a,../b]": ["runs=../b", "letters, digits"],
    "fold=[0,7": ["fold=[0,7", "column 5", "expected ',' or ']'"],
    "fold=[0,x]": ["fold=[0,x]", "a whole number or a list of whole numbers or all"],
    "config=nope": ["config=nope", "no such preset", "quick"],
    "run=a data.pseudo=a@tta3": ["data.pseudo=a@tta3", "learn from itself"],
    "run=a model.init_from=a": ["model.init_from=a", "start from itself"],
    "decode.rule=joint ensemble.mean=rank": ["decode.rule=joint", "no probabilities"],
    "decode.rule=grapheme ensemble.weights=stacking": ["stacking leaves the grapheme heads out"],
    "mix.cutmix=0.5 mix.cutmix_alpha=0": ["mix.cutmix_alpha=0", "above 0"],
    "mix.cutmix=0.6 mix.mixup=0.6": ["together at most 1"],
    "mix.mixup=0.5 loss.hard_share=0.5": ["loss.hard_share", "mixed"],
    "model.graphemes=arcface loss.grapheme_weight=0": ["model.graphemes=arcface", "would not learn"],
    "model.consonant=parts loss.focal_gamma=2": ["loss.focal_gamma", "model.consonant=parts"],
    "optimizer.schedule=restarts optimizer.cycles=2 train.epochs=3": ["train.epochs=3", "optimizer.cycles=2"],
    "launch.processes=3 train.batch_size=64": ["does not divide into 3 micro-batches"],
}


@pytest.mark.parametrize("arguments", ARGUMENT_FAULTS)
def test_a_faulty_argument_or_combination_is_refused_as_it_was_written(refused: Refused, arguments: str) -> None:
    given = re.split(r" (?=[a-z_.]+=)", arguments)
    message = refused(ARGUMENT_FAULTS[arguments], load, *given)
    assert len(message.splitlines()) == 1


def test_all_that_is_wrong_is_told_at_once(presets: Path) -> None:
    (presets / "quick.yaml").write_text("data: {sise: 32}\ntrain: {epochs: many}\n")
    arguments = ["seed=-1", "fold", "train.swa_epochs=40", "mix.cutmix=1", "mix.mixup=1", "loss.hard_share=half"]
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    lines = str(caught.value).splitlines()
    told = ("data.sise", "train.epochs=many", "seed=-1", "'fold'", "loss.hard_share=half", "mix.cutmix")
    assert len(lines) == len(told), "train.swa_epochs may be right: train.epochs is not known"
    for line, word in zip(lines, told, strict=True):
        assert word in line


def test_of_a_hundred_problems_ten_are_told(presets: Path) -> None:
    (presets / "quick.yaml").write_text("\n".join(f"x{number}: 1" for number in range(100)))
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value).splitlines()[9:] == [str(caught.value).splitlines()[9], "... and 90 more."]


@pytest.mark.parametrize("key", [key for key, one in SETTINGS.items() if one.low > float("-inf")])
def test_a_number_is_taken_at_the_ends_of_its_range_and_refused_beyond(key: str) -> None:
    one = SETTINGS[key]
    is_range = isinstance(one.default, tuple)
    for end, beyond in ((one.low, one.low - 1e-3), (one.high, one.high + 1e-3)):
        beyond = round(beyond + (beyond - end) * 999) if isinstance(one.default, int) else beyond
        one.convert([end, end] if is_range else end if isinstance(one.default, float) else int(end))
        with pytest.raises(ValueError, match=f"{one.low:,} to {one.high:,}"):
            one.convert([beyond, beyond] if is_range else beyond)


def test_every_setting_is_declared_with_what_help_prints_and_its_default_fits() -> None:
    groups = [field.type for field in fields(Config) if is_dataclass(field.type)]
    assert len(SETTINGS) == len(fields(Config)) - len(groups) + sum(len(fields(group)) for group in groups)
    for key, one in SETTINGS.items():
        assert one.description, key
        assert one.convert(one.default) == one.default, key
        is_number = isinstance(one.default, int | float) and not isinstance(one.default, bool)
        assert not is_number or one.low > float("-inf"), f"{key} has no range"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"train: {epochs: [}", ["quick.yaml", "line 1, column 18"]),
        (b"train:\n  epochs: 1\n epochs: 2\n", ["quick.yaml", "line 3"]),
        (b"train: {epochs: 0}", ["quick.yaml", "train.epochs=0", "1 to 100,000"]),
        (b"- 1", ["quick.yaml", "key: value", "list"]),
        (b"train: !!python/object/apply:os.system ['true']", ["quick.yaml", "could not determine a constructor"]),
        (b"runs: &a [*a]", ["quick.yaml", "a list such as [a,b]"]),
        (b"run: \xff\n", ["quick.yaml", "can't be read as YAML"]),
    ],
)
def test_a_faulty_preset_is_refused_with_its_place(
    presets: Path, refused: Refused, content: bytes, words: list[str]
) -> None:
    (presets / "quick.yaml").write_bytes(content)
    refused(words, load)


def test_an_empty_preset_is_the_defaults(presets: Path) -> None:
    (presets / "quick.yaml").write_text("# nothing differs\n")
    assert load() == replace(Config(), config="quick", run="quick")


@pytest.mark.parametrize("fold", [9, -1, [0, 7], [], "x", True, 1.0, ["a"], [True], [[0]], {"a": 1}, None])
def test_what_is_no_fold_is_refused(refused: Refused, fold: Any) -> None:
    refused(["fold="], select_folds, fold, 5)


@pytest.mark.parametrize(
    ("fold", "numbers"), [("0", [0]), ("[2,0]", [0, 2]), ("[1,1]", [1]), ("all", [0, 1, 2, 3, 4]), ("4", [4])]
)
def test_folds_are_selected_by_number_by_list_or_all(fold: str, numbers: list[int]) -> None:
    assert select_folds(load(f"fold={fold}").fold, num_folds=5) == numbers


def test_a_run_is_named_after_the_preset_and_another_data_folder() -> None:
    assert load().run == "quick"
    assert load("data.root=input/other").run == "quick-other"
    assert load("data.root=input/other", "run=mine").run == "mine"
    assert load("data.root=/my data/50 % (b)").run == "quick-50-b-"
    assert load("run=প্রথম-খসড়া.1").run == "প্রথম-খসড়া.1"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("letters", "{elsewhere}/letters"),
        ("../project/input/a", "input/a"),
        ("{project}/input/a", "input/a"),
        ("~/letters", "{home}/letters"),
        ("~nobody-here/a", "{elsewhere}/~nobody-here/a"),
    ],
)
def test_a_typed_path_starts_where_the_person_stands_and_is_kept_by_one_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, kept: str
) -> None:
    """Issue 25, item 1 (c): `~` made a folder named `~`; a relative path meant the project's folder."""
    places = {name: str(tmp_path / name) for name in ("project", "elsewhere", "home")}
    for place in places.values():
        Path(place).mkdir()
    monkeypatch.chdir(places["project"])
    monkeypatch.setenv("HOME", places["home"])
    monkeypatch.setenv("OKKHOR_CALLER", places["elsewhere"])
    typed, kept = typed.format(**places), kept.format(**places)
    config = load(f"data.root={typed}", f"sample.font_dirs=[{typed}]", f"model.pretrained={typed}")
    assert (config.data.root, config.sample.font_dirs, config.model.pretrained) == (kept, (kept,), kept)
    assert config.run == f"quick-{kept.rpartition('/')[2]}"
    assert load(f"data.root={places['project']}/input/quick").run == "quick"  # the preset's folder by its whole name
    (tmp_path / "quick.yaml").write_text("data: {root: ~/letters, blacklist: bad.csv, rendered_graphemes: grammar}")
    data = load("model.pretrained=true").data
    assert (data.root, data.blacklist) == (f"{places['home']}/letters", "bad.csv")  # a preset's begin in the project
    assert (data.rendered_graphemes, data.label_fixes) == ("grammar", "")


def test_the_competition_preset_is_chosen_where_its_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_preset() == "sample"
    assert "input/bengaliai-cv19/train.csv is not there" in capsys.readouterr().out
    (tmp_path / "input/bengaliai-cv19").mkdir(parents=True)
    (tmp_path / "input/bengaliai-cv19/train.csv").touch()
    assert choose_preset() == "competition"
    assert "input/bengaliai-cv19/train.csv is there" in capsys.readouterr().out


def test_differing_settings_are_named_and_the_ignored_left_out() -> None:
    one = load()
    other = load("seed=3", "folds.num_folds=3", "fold=1", "data.size=64", "data.num_workers=2")
    assert differing_settings(one, one, ignored=()) == []
    all_but_fold = ["seed", "data.size", "data.num_workers", "folds.num_folds"]
    assert differing_settings(one, other, ignored=("fold",)) == all_but_fold
    assert differing_settings(one, other, ignored=("fold", "data", "seed")) == ["folds.num_folds"]
    assert differing_settings(one, other, ignored=("fold", "data.num_workers", "folds")) == ["seed", "data.size"]


def write_settings(folder: Path, settings: dict[str, Any]) -> Path:
    """Write a config.yaml with these settings, by their keys such as data.size."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(groups))
    return path


def test_a_run_of_an_older_version_loads_where_removed_settings_were_off(tmp_path: Path) -> None:
    assert load_stored(write_settings(tmp_path, REMOVED)) == Config()


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_setting_is_refused_in_a_run_that_used_it_and_is_unknown_elsewhere(
    tmp_path: Path, presets: Path, refused: Refused, key: str
) -> None:
    path = write_settings(tmp_path, REMOVED | {key: 2})
    message = refused([f"config.yaml: {key}=2", "removed in 0.2.0"], load_stored, path)
    assert len(message.splitlines()) == 1
    off = f"{key}={REMOVED[key]}"
    refused([off, "no such setting"], load, off)
    write_settings(tmp_path, {key: REMOVED[key]}).rename(presets / "quick.yaml")
    refused(["quick.yaml", off, "no such setting"], load)


@pytest.mark.parametrize("path", sorted(PROJECT.glob("configs/*.yaml")), ids=lambda path: path.stem)
def test_every_preset_of_the_project_loads_under_its_own_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PRESETS", path.parent)
    config = load_config([f"config={path.stem}"])
    assert config.config == config.run == path.stem
    assert load_stored(path).data == config.data
