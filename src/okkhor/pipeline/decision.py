"""`Decision`: how predictions become labels; a result of a run, of a variant or of an ensemble, kept in decision.json.

It is written anew whenever it does not fit any more: a fold has finished, members or settings have changed. Predictions
tables hold raw probabilities; whatever turns them into a submission reads the decision.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from okkhor.config import DecodeConfig
from okkhor.files import replacing, where_allowed
from okkhor.label_triples import Labels, TripleCounts
from okkhor.predictions import Predictions, read_note
from okkhor.schema import HEAD_NAMES
from okkhor.scoring.choosing import Candidates, OutOfFold
from okkhor.scoring.decoding import Rule, apply_rule
from okkhor.scoring.member_weights import Combination, Stacking


@dataclass(frozen=True)
class Decision:
    """The mean of an ensemble's members, and the rule that decides; None: the most probable class."""

    combination: Combination = field(default_factory=Combination)
    rule: Rule | None = None

    def decide(self, predictions: Predictions) -> Labels:
        """Decide by the rule, and print its name and exponents."""
        if self.rule is not None:
            print(f"Decoding by the rule {self.rule.name}: {describe_rule(self.rule)}.")
        return apply_rule(self.rule, predictions)


Sources = Mapping[str, object]
"""What a decision was made from: settings, and the checksums of the out-of-fold tables."""


def describe_sources(decode: DecodeConfig, tables: Sequence[Path], **further: object) -> Sources:
    """Name what a decision depends on. The rule argmax needs no table, unless `further` settings do."""
    needed = tables if decode.rule != "argmax" or further else ()
    checksums = {str(path): read_note(path) for path in needed}
    return {"decode": asdict(decode), **further, "tables": checksums}


def find_decision(path: Path, sources: Sources, make: Callable[[], Decision], anew: bool = False) -> Decision:
    """Read decision.json where it was made from the same sources; else, or anew, make the decision and write it."""
    if path.exists() and not anew:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("made_from", None) == json.loads(json.dumps(sources)):
            return decision_from_json(content)
    decision = make()
    text = json.dumps({"made_from": sources, **decision_to_json(decision)}, indent=1)
    with where_allowed(path), replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return decision


def choose_rule(folds: Sequence[OutOfFold], decode: DecodeConfig) -> Rule | None:
    """Tune the exponents of decode.rule on out-of-fold predictions; None for argmax.

    Exponents are tuned on single-network predictions; for the more confident fold average they are slightly too high.
    """
    if decode.rule == "argmax":
        return None
    return Candidates(decode.rule, folds, decode.prior).make_rule()


def describe_rule(rule: Rule) -> str:
    exponents = "/".join(f"{rule.exponents[name]:g}" for name in HEAD_NAMES)
    names = {"grapheme": "share of the grapheme head", "joint": "unseen combinations weigh"}
    return f"t {exponents}" + (f", {names[rule.name]} {rule.parameter:g}" if rule.name in names else "")


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """Turn arrays into lists: float64 and int64 come back from JSON bit for bit."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(decision), default=lambda array: array.tolist()))
    return content


def decision_from_json(content: Mapping[str, Any]) -> Decision:
    combination, rule = content["combination"], content["rule"]
    weights, stacking = combination["weights"], combination["stacking"]
    if rule is not None:
        graphemes = TripleCounts(*(np.array(rule["graphemes"][name]) for name in ("triples", "images")))
        rule = Rule(rule["name"], rule["parameter"], rule["exponents"], _arrays(rule["priors"]), graphemes)
    return Decision(
        Combination(
            combination["mean"],
            None if weights is None else tuple(weights),
            None if stacking is None else Stacking(_arrays(stacking["weights"]), _arrays(stacking["biases"])),
        ),
        rule,
    )


def _arrays(content: Mapping[str, list[float]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array(values) for name, values in content.items()}
