"""From presets and key=value arguments to a Config, or a line that says what is wrong with them."""

import os
import signal
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from helpers import Refused
from omegaconf import OmegaConf

from okkhor import settings
from okkhor.config import Config, DataConfig, FoldsConfig
from okkhor.config_rendering import HandConfig
from okkhor.errors import ConfigError
from okkhor.limits import HAND_RANGES, RANGES, check_config
from okkhor.settings import choose_preset, differing_settings, load_config, select_folds

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture(autouse=True)
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets of its own: quick.yaml."""
    monkeypatch.setattr(settings, "PRESETS", tmp_path)
    (tmp_path / "quick.yaml").write_text("data: {root: input/quick, size: 32}\ntrain: {epochs: 2}\n")
    return tmp_path


def load(*arguments: str) -> Config:
    return load_config(["config=quick", *arguments])


def test_arguments_go_over_the_preset_which_goes_over_the_defaults() -> None:
    config = load("train.epochs=5")
    assert (config.train.epochs, config.data.size, config.folds.num_folds) == (5, 32, FoldsConfig().num_folds)


def test_the_last_of_two_equal_settings_counts() -> None:
    assert load("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("seed=0", "seed", 0),
        ("overwrite=true", "overwrite", True),
        ("run=007", "run", "007"),
        ("run=1e3", "run", "1e3"),
        ("run=true", "run", "true"),
        ("data.root=/a b/c=d", "root", "/a b/c=d"),
        ("data.root=C: d", "root", "C: d"),
        ("optimizer.learning_rate=1e-3", "learning_rate", 0.001),
        ("optimizer.learning_rate=1", "learning_rate", 1.0),
        ("model.pretrained=true", "pretrained", True),
        ("model.pretrained=weights/a.safetensors", "pretrained", "weights/a.safetensors"),
        ("runs=[a,b]", "runs", ("a", "b")),
        ("loss.head_weights=[1,1,2]", "head_weights", (1.0, 1.0, 2.0)),
        ("hand.slant=[0,0.1]", "slant", (0.0, 0.1)),
        ("hand.right=[5,5]", "right", (5.0, 5.0)),
        ("data.rendered_fraction=0.5", "rendered_fraction", 0.5),
        ("data.rendered_graphemes=lists/1.csv", "rendered_graphemes", "lists/1.csv"),
        ("sample.font_dirs=[fonts/a]", "font_dirs", ("fonts/a",)),
        ("fold=all", "fold", "all"),
        ("fold=[0,2]", "fold", [0, 2]),
    ],
)
def test_a_value_is_read_as_its_setting_needs_it(argument: str, key: str, value: object) -> None:
    config: object = load(argument)
    for part in argument.split("=")[0].split("."):
        config = getattr(config, part)
    assert config == value
    assert type(config) is type(value), key


ARGUMENT_FAULTS = {
    "train.epoch=3": ["train.epoch=3", "no setting 'epoch'", "Did you mean", "'epochs'"],
    "trian.epochs=3": ["trian.epochs=3", "no setting 'trian'", "Did you mean: 'train'?"],
    "modle=resnet": ["no setting 'modle'", "Did you mean: 'model'?"],
    "a b=c": ["no setting 'a b'.", "src/okkhor/config.py"],
    "data.size.x=1": ["data.size.x=1"],
    "data=3": ["data=3"],
    "data[0]=3": ["data[0]=3"],
    "data..size=3": ["data..size=3"],
    "=3": ["'=3' is not a setting", "key=value"],
    "fold": ["'fold' is not a setting", "key=value"],
    "train.epochs=abc": ["train.epochs=abc", "Integer"],
    "train.epochs=1.5": ["train.epochs=1.5", "Integer"],
    "train.epochs=": ["train.epochs=", "int"],
    "train.epochs=[1]": ["train.epochs=[1]", "Integer"],
    "seed=true": ["seed=true", "Integer"],
    "overwrite=maybe": ["overwrite=maybe", "bool"],
    "train.precision=float64": ["train.precision=float64", "bfloat16"],
    "folds.scheme=random": ["folds.scheme=random", "stratified"],
    "runs=a": ["runs=a", "list"],
    "loss.head_weights=[1,1]": ["loss.head_weights=[1.0, 1.0]", "three numbers"],
    "loss.head_weights=[0,0,0]": ["loss.head_weights=[0,0,0]", "nothing is learnt"],
    "loss.head_weights=[1,1,-1]": ["loss.head_weights", "from 0"],
    "hand.slant=[0.1,0]": ["hand.slant=[0.1,0]", "two numbers from -2 to 2", "the lower one first"],
    "hand.slant=[.nan,0]": ["hand.slant=[nan,0]", "the lower one first"],
    "hand.slant=[0,.inf]": ["hand.slant=[0,inf]", "from -2 to 2"],
    "hand.slant=0.1": ["hand.slant=0.1", "list"],
    "hand.slant=[0.1]": ["hand.slant=[0.1]", "length 1"],
    "hand.slant=[0,0.1,0.2]": ["hand.slant=[0,0.1,0.2]", "length 3"],
    "hand.slant=[left,right]": ["hand.slant=[left,right]", "Float"],
    "hand.slent=[0,0.1]": ["no setting 'slent'", "'slant'"],
    "hand.scraps=[0,1.5]": ["hand.scraps=[0,1.5]", "from 0 to 1"],
    "hand.head_line_missing=[-0.1,0]": ["hand.head_line_missing=[-0.1,0]", "from 0 to 1"],
    "hand.head_line_lift=[0,2]": ["hand.head_line_lift=[0,2]", "from 0 to 1"],
    "hand.size=[0,60]": ["hand.size=[0,60]", "from 1 to 500"],
    "hand.aspect=[-1,1]": ["hand.aspect=[-1,1]", "from 0.1 to 10"],
    "hand.pen=[0,4]": ["hand.pen=[0,4]", "from 0.5 to 50"],
    "hand.softness=[0,1]": ["hand.softness=[0,1]", "from 0.05 to 10"],
    "hand.tremor=[-0.1,0.1]": ["hand.tremor=[-0.1,0.1]", "from 0 to 1"],
    "hand.unsteadiness=-0.1": ["hand.unsteadiness=-0.1", "0 to 2"],
    "data.rendered_fraction=1": ["data.rendered_fraction=1.0", "0 to 0.99"],
    "data.rendered_fraction=-0.1": ["data.rendered_fraction=-0.1", "0 to 0.99"],
    "data.rendered_fraction=half": ["data.rendered_fraction=half", "Float"],
    "decode.rule=median": ["decode.rule=median", "argmax"],
    "ensemble.weights=best": ["ensemble.weights=best", "greedy"],
    "train.accumulate=5": ["train.batch_size=64 does not divide into 5 parts"],
    "train.accumulate=64": ["too few for batch norm"],
    "optimizer.cycles=2": ["optimizer.schedule=restarts"],
    "train.swa_epochs=3": ["train.swa_epochs=3", "train.epochs=2"],
    "train.first_size=40": ["train.first_size=40", "16 to data.size=32"],
    "mix.cooldown_epochs=3": ["mix.cooldown_epochs=3", "train.epochs=2"],
    "model.init_from=../x": ["model.init_from=../x", "letters, digits"],
    "train.epochs=0": ["train.epochs=0", "1 to 100,000"],
    "seed=-1": ["seed=-1", "0 to 4,294,967,295"],
    "train.batch_size=1": ["train.batch_size=1", "2 to 65,536"],
    "optimizer.learning_rate=.nan": ["optimizer.learning_rate=nan", "1e-09 to 100"],
    "mix.cutmix=1.5": ["mix.cutmix=1.5", "0 to 1"],
    "run=../../x": ["run=../../x", "letters, digits"],
    "run=/tmp/x": ["run=/tmp/x", "letters, digits"],
    "run=-x": ["run=-x", "letters, digits"],
    f"run={'x' * 101}": ["100 at most"],
    "run=.hidden": ["run=.hidden", "letters, digits"],
    "name=a/b": ["name=a/b", "letters, digits"],
    "runs=[a,../b]": ["runs=../b", "letters, digits"],
    "run=${data.root}": ["run=${data.root}", "Write the value itself"],
    "run=${nothing}": ["run=${nothing}", "Write the value itself"],
    "data.size=???": ["data.size=???", "Write the value itself"],
    "fold=[0,7": ["fold=[0,7", "column 5", "expected ',' or ']'"],
    "data.size={": ["data.size={", "can't be read"],
    "fold=2020-01-01": ["fold=2020-01-01", "date"],
}


COMBINATION_FAULTS = {
    "run=a data.pseudo=a@tta3": ["data.pseudo=a@tta3", "learn from itself"],
    "decode.rule=joint ensemble.mean=rank": ["decode.rule=joint", "no probabilities"],
    "decode.rule=grapheme ensemble.weights=stacking": ["stacking leaves the grapheme heads out"],
    "run=a model.init_from=a": ["model.init_from=a", "start from itself"],
    "mix.cutmix=0.5 mix.cutmix_alpha=0": ["mix.cutmix_alpha=0", "above 0"],
    "mix.cutmix=0.6 mix.mixup=0.6": ["together at most 1"],
    "mix.mixup=0.5 loss.hard_share=0.5": ["loss.hard_share", "mixed"],
    "model.graphemes=arcface loss.grapheme_weight=0": ["model.graphemes=arcface", "would not learn"],
    "model.consonant=parts loss.focal_gamma=2": ["loss.focal_gamma", "model.consonant=parts"],
    "optimizer.schedule=restarts optimizer.cycles=2 train.epochs=3": ["train.epochs=3", "optimizer.cycles=2"],
    "launch.processes=3 train.batch_size=64": ["does not divide into 3 parts"],
}


@pytest.mark.parametrize("arguments", COMBINATION_FAULTS)
def test_settings_that_do_not_go_together_are_refused_with_a_sentence(refused: Refused, arguments: str) -> None:
    refused(COMBINATION_FAULTS[arguments], load, *arguments.split())


@pytest.mark.parametrize("argument", ARGUMENT_FAULTS)
def test_a_faulty_argument_is_refused_as_it_was_written(refused: Refused, argument: str) -> None:
    message = refused(ARGUMENT_FAULTS[argument], load, argument)
    assert len(message.splitlines()) == 1
    for word in ("full_key", "object_type", "DictConfig(", "$VALUE"):
        assert word not in message


def test_a_preset_that_is_not_there_is_refused_with_those_that_are(refused: Refused) -> None:
    refused(["config=nope", "no such preset", "quick"], load_config, ["config=nope"])
    refused(["config=../quick", "no such preset"], load_config, ["config=../quick"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("train: {epochs: [}", ["quick.yaml", "line 1, column 18"]),
        ("train:\n  epochs: 1\n epochs: 2\n", ["quick.yaml", "line 3"]),
        ("train: {epoch: 1}", ["quick.yaml", "no setting 'epoch'", "Did you mean", "'epochs'"]),
        ("train: {epochs: many}", ["quick.yaml", "'many'"]),
        ("- 1", ["quick.yaml", "key: value", "list"]),
        ("train", ["quick.yaml", "key: value", "str"]),
        ("train: !!python/object/apply:os.system ['true']", ["quick.yaml", "could not determine a constructor"]),
        ("train: {epochs: 0}", ["train.epochs=0", "1 to 100,000"]),
        ("run: ${nothing}", ["nothing"]),
        ("1: 2", ["quick.yaml", "'1'"]),
    ],
)
def test_a_faulty_preset_is_refused_with_its_place(
    presets: Path, refused: Refused, content: str, words: list[str]
) -> None:
    (presets / "quick.yaml").write_text(content)
    refused(words, load)


def test_a_preset_that_is_not_utf8_is_refused(presets: Path, refused: Refused) -> None:
    (presets / "quick.yaml").write_bytes(b"run: \xff\n")
    refused(["quick.yaml", "can't be read as YAML"], load)


def test_an_empty_preset_is_the_defaults(presets: Path) -> None:
    (presets / "quick.yaml").write_text("# nothing differs\n")
    assert load() == replace(Config(), config="quick", run="quick")


@pytest.mark.parametrize("fold", ["9", "-1", "x", "[0,7]", "[0,a]", "[]", "true", "1.0", "[[0]]", "{a: 1}"])
def test_a_fold_that_is_not_there_is_refused(refused: Refused, fold: str) -> None:
    refused(["fold="], lambda: select_folds(load(f"fold={fold}").fold, num_folds=5))


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


def test_a_run_may_have_a_bengali_name() -> None:
    assert load("run=প্রথম-খসড়া.1").run == "প্রথম-খসড়া.1"


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
    assert differing_settings(one, other, ignored=("fold",)) == [
        "seed", "data.size", "data.num_workers", "folds.num_folds",
    ]  # fmt: skip
    assert differing_settings(one, other, ignored=("fold", "data", "seed")) == ["folds.num_folds"]
    assert differing_settings(one, other, ignored=("fold", "data.num_workers", "folds")) == ["seed", "data.size"]


def test_check_config_refuses_what_was_not_made_by_load_config() -> None:
    with pytest.raises(ConfigError, match=r"data\.size=8"):
        check_config(Config(data=DataConfig(size=8)))


def number_settings(config: object, prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if is_dataclass(value):
            found |= number_settings(value, f"{prefix}{field.name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + field.name] = value
    return found


def test_every_number_has_limits_and_its_default_is_within_them() -> None:
    numbers = number_settings(Config())
    assert set(numbers) == set(RANGES)
    for key, (low, high) in RANGES.items():
        assert low <= numbers[key] <= high, key
    assert set(HAND_RANGES) == {field.name for field in fields(HandConfig)} - {"unsteadiness"}
    check_config(Config())


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_of_the_project_loads_under_its_own_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PRESETS", CONFIGS)
    config = load_config([f"config={path.stem}"])
    assert config.config == config.run == path.stem


def test_ctrl_c_waits_until_the_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    merge, merged = OmegaConf.merge, []

    def interrupted(*parts: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)  # to the process, whichever thread takes it
        merged.append(merge(*parts))
        return merged[-1]

    monkeypatch.setattr(OmegaConf, "merge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("seed=1")
    assert len(merged) == 3  # the preset, config=quick and seed=1
