"""Of which graphemes images are rendered beside the real ones, how many, and with what labels."""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
from helpers import Refused

from okkhor.config import Config, DataConfig
from okkhor.data.cache import open_cache
from okkhor.errors import ConfigError
from okkhor.pipeline.rendered_images import EpochRenderer, choose_graphemes, choose_rendered, plan_fresh_images
from okkhor.rendering.graphemes import Grapheme, decompose, read_graphemes
from okkhor.schema import GRAPHEME, HEAD_NAMES

KNOWN = {grapheme.text: grapheme.labels for grapheme in read_graphemes()}
TEXTS = ("ক", "কি", "র্ব্য", "স্ট্র্যা", "ং")


def configure(fraction: float = 0.5, graphemes: str = "train") -> Config:
    return Config(data=DataConfig(size=32, rendered_fraction=fraction, rendered_graphemes=graphemes))


def train_table(texts: tuple[str, ...] = TEXTS) -> pd.DataFrame:
    """Two images of each of these graphemes, with the labels of the real train set."""
    rows = [(text, *KNOWN.get(text, (0, 0, 0))) for text in texts for _ in range(2)]
    return pd.DataFrame(rows, columns=[GRAPHEME, *HEAD_NAMES])


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.75, 0.99])
def test_so_many_are_rendered_that_they_are_the_fraction_of_all(fraction: float) -> None:
    num_rendered = len(choose_rendered(configure(fraction), train_table(), 1000))
    assert num_rendered == pytest.approx(fraction * (num_rendered + 1000), abs=1)


def test_the_graphemes_come_equally_often_and_equal_ones_beside_each_other() -> None:
    chosen = choose_rendered(configure(0.5), train_table(), 102)
    runs = {grapheme.text: len(list(group)) for grapheme, group in groupby(chosen)}
    assert len(list(groupby(chosen))) == len(runs) == len(TEXTS)
    assert sorted(runs.values()) == [20, 20, 20, 21, 21]


def test_the_same_seed_chooses_the_same_and_another_seed_others() -> None:
    chosen = [choose_rendered(replace(configure(0.5, "grammar"), seed=seed), train_table(), 100) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_train_is_the_graphemes_of_train_csv_with_its_own_labels() -> None:
    table = train_table()
    table.loc[table[GRAPHEME] == "ক", list(HEAD_NAMES)] = [7, 7, 0]
    chosen = choose_graphemes(configure(), table)
    assert [grapheme.text for grapheme in chosen] == list(TEXTS)
    assert chosen == [Grapheme("ক", (7, 7, 0)), *(Grapheme(text, KNOWN[text]) for text in TEXTS[1:])]


def test_grammar_adds_the_graphemes_of_the_competition_and_those_that_it_lacks() -> None:
    chosen = choose_graphemes(configure(graphemes="grammar"), train_table())
    extra = chosen[len(TEXTS) :]
    assert [grapheme.text for grapheme in chosen[: len(TEXTS)]] == list(TEXTS)
    assert len({grapheme.text for grapheme in chosen}) == len(chosen) > 2000
    assert {grapheme.text for grapheme in chosen} >= set(KNOWN)
    new = [grapheme for grapheme in extra if grapheme.text not in KNOWN]
    assert not {grapheme.labels for grapheme in new} & set(KNOWN.values())
    assert all(decompose(grapheme.text) == grapheme.labels for grapheme in new)


def test_a_list_names_the_graphemes_each_once_whatever_train_has(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("grapheme\nখা\nক\nখা\n", encoding="utf-8")
    chosen = choose_graphemes(configure(graphemes=str(tmp_path / "list.csv")), train_table())
    assert chosen == [Grapheme(text, KNOWN[text]) for text in ("খা", "ক")]


def test_a_grapheme_that_no_font_shapes_is_refused(refused: Refused) -> None:
    refused(["data.rendered_fraction", "no font", "漢"], choose_graphemes, configure(), train_table((*TEXTS, "漢")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((f"grapheme\nক\n{text}\n", [f"'{text}'", "no labels"]) for text in ("abc", "কক", "র্ত্র")),
        ("grapheme\n", ["no grapheme is named"]),
        ("text\nক\n", ["missing: grapheme"]),
    ],
)
def test_a_faulty_list_is_refused(refused: Refused, tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "list.csv").write_text(content, encoding="utf-8")
    config = configure(graphemes=str(tmp_path / "list.csv"))
    refused(["list.csv", *words], choose_graphemes, config, train_table())


def test_a_list_that_is_not_there_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"data\.rendered_graphemes=gramar: expected train, grammar, or a csv"):
        choose_graphemes(configure(graphemes="gramar"), train_table())


def test_each_epoch_has_images_of_its_own_which_one_process_draws_once(tmp_path: Path) -> None:
    path = tmp_path / "rendered.npy"
    images = replace(plan_fresh_images(configure(), [Grapheme("ক", KNOWN["ক"])] * 3), processes=1)

    def draw(*epochs: int) -> list[bytes]:
        prepare = EpochRenderer(images, path)  # which a resumed run makes anew
        drawn = []
        for epoch in epochs:
            prepare(epoch, lambda: False)
            drawn.append(open_cache(path).tobytes())
        return drawn

    first, second = draw(0, 1)
    assert first != second
    assert draw(1, 0) == [second, first]
    prepare = EpochRenderer(images, path)
    prepare(0, lambda: False)
    path.unlink()
    prepare(0, lambda: False)
    assert not path.exists()
