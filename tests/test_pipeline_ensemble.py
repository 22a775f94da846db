"""An ensemble out of fold: members have the same split, and weights are judged on images that had no part in them."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import make_predictions, score_of

from okkhor.config import EnsembleConfig
from okkhor.errors import InputError
from okkhor.label_triples import count_triples
from okkhor.pipeline.ensemble import align_folds, combine_out_of_fold
from okkhor.scoring.choosing import OutOfFold, random_parts
from okkhor.scoring.ensembling import combine
from okkhor.scoring.member_weights import select_greedily

IDS = [f"Train_{k}" for k in range(300)]


def test_labels_without_meaning_bring_a_gain_to_the_selections_own_images_only() -> None:
    leaking, nested = [], []
    for seed in range(8):
        labels = make_predictions(IDS, seed=seed).labels
        members = [replace(make_predictions(IDS, seed=10 * seed + k + 1), labels=labels) for k in range(3)]
        fair = np.mean([score_of(member) for member in members])  # a member that was not chosen by these labels
        weights = select_greedily(members, ["a", "b", "c"], "arithmetic")
        leaking.append(score_of(combine(members, ["a", "b", "c"], weights=weights)) - fair)
        config = EnsembleConfig(weights="greedy")
        whole = combine_out_of_fold(members, random_parts(len(IDS), 3, seed), ["a", "b", "c"], config)
        nested.append(score_of(whole) - fair)
    assert np.mean(leaking) > 5 * np.std(leaking) / np.sqrt(8)
    assert abs(np.mean(nested)) < 3 * np.std(nested) / np.sqrt(8)


def test_members_that_hold_out_other_graphemes_are_refused() -> None:
    one = make_predictions(IDS)
    assert one.labels is not None
    graphemes, unseen = count_triples(one.labels), np.arange(len(IDS)) < 4
    first, same, other = (replace(one, unseen=rows) for rows in (unseen, unseen, None))
    members = [(table, [OutOfFold(table, graphemes)]) for table in (first, same, other)]
    assert len(align_folds(members[:2], ["a", "b"])) == 2
    with pytest.raises(InputError, match=r"b and a hold out other graphemes"):
        align_folds(members[::2], ["a", "b"])
