"""decision.json: it comes back bit for bit, and is made anew when a fold, a table or a setting has changed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import make_predictions

from okkhor.config import Config, DecodeConfig, EnsembleConfig
from okkhor.label_triples import count_triples, write_triples
from okkhor.pipeline.decision import Decision, decision_from_json, decision_to_json
from okkhor.pipeline.ensemble import Ensemble
from okkhor.pipeline.run import Run
from okkhor.predictions import write_predictions
from okkhor.scoring.decoding import decode

PRIOR = DecodeConfig(rule="prior")


def write_fold(run: str, fold: int, seed: int = 0) -> None:
    """A finished fold with an out-of-fold table of 40 images."""
    folder = Run(run).fold(fold)
    folder.mkdir(parents=True, exist_ok=True)
    table = make_predictions([f"Train_{40 * fold + number}" for number in range(40)], seed)
    table = replace(table, labels=decode(table.probabilities))  # a network that is always right
    write_predictions(table, decode(table.probabilities), folder / "oof.parquet")
    assert table.labels is not None
    write_triples(count_triples(table.labels), folder / "graphemes.csv")
    (folder / "metrics.json").write_text("{}")


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fold("a", 0)


def assert_equal(one: Decision, other: Decision) -> None:
    np.testing.assert_equal(decision_to_json(one), decision_to_json(other))


@pytest.mark.parametrize("weights", ["equal", "greedy", "stacking"])
@pytest.mark.parametrize("rule", ["argmax", "prior", "joint"])
def test_a_decision_comes_back_from_json_bit_for_bit(weights: str, rule: str) -> None:
    write_fold("b", 0)
    config = Config(
        runs=("a", "b"),
        name="both",
        decode=DecodeConfig(rule=rule),  # type: ignore[arg-type]
        ensemble=EnsembleConfig(weights=weights),  # type: ignore[arg-type]
    )
    ensemble = Ensemble.open(config)
    decision = ensemble.decision(anew=True)
    assert_equal(decision_from_json(decision_to_json(decision)), decision)
    assert_equal(ensemble.decision(), decision)
    if decision.rule is not None:
        again = ensemble.decision().rule
        assert again is not None
        assert all(again.priors[name].tobytes() == values.tobytes() for name, values in decision.rule.priors.items())


def times_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of folds that decisions were made from."""
    made: list[int] = []

    def choose(folds: Sequence[object], _decode: DecodeConfig) -> None:
        made.append(len(folds))

    monkeypatch.setattr("okkhor.pipeline.run.choose_rule", choose)
    return made


def test_a_decision_is_made_once_and_anew_when_a_fold_a_table_or_a_setting_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = times_made(monkeypatch)
    for _ in range(2):
        Run.open("a").decision(PRIOR)
    assert made == [1]
    write_fold("a", 1)
    Run.open("a", fold=0).decision(PRIOR)  # a result of the run: all finished folds count
    assert made == [1, 2]
    write_fold("a", 0, seed=5)
    Run.open("a").decision(PRIOR)
    assert made == [1, 2, 2]
    Run.open("a").decision(DecodeConfig(rule="joint"))
    assert made == [1, 2, 2, 2]


def test_a_variant_has_a_decision_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = times_made(monkeypatch)
    Run.open("a").decision(PRIOR)
    Run("a").out_of_fold(0).rename(Run("a").fold(0) / "oof-tta5.parquet")
    Run.open("a@tta5").decision(PRIOR)
    assert made == [1, 1]
    assert sorted(path.name for path in Path("runs/a").glob("*.json")) == ["decision-tta5.json", "decision.json"]


def test_the_most_probable_class_needs_no_table() -> None:
    Run("a").out_of_fold(0).unlink()
    assert Run.open("a").decision(DecodeConfig()).rule is None
