"""Words, where spaces part them and where they do not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.words import TERMS
from quintet.memory.base import MEMORIES
from quintet.serve.search import TextIndex

TITLES = [f"{how}色{what}" for how in ("红", "蓝", "白") for what in ("台灯", "茶杯", "跑鞋")]


def test_terms_by_hand() -> None:
    assert re.findall(TERMS, "a big iphone手机壳 5w") == [
        "big",
        "iphone",
        "手机",
        "机壳",
        "壳",
        "5w",
    ]


@given(st.text(alphabet=st.characters(max_codepoint=0x2FFF)))
def test_where_spaces_part_words_they_are_those_of_two_letters_or_more(text: str) -> None:
    assert re.findall(TERMS, text) == re.findall(r"(?u)\b\w\w+\b", text)


@pytest.mark.parametrize("name", ["content", "content_neighbours", "content_ridge"])
def test_titles_without_spaces_are_alike_by_what_they_name(name: str) -> None:
    items = FeatureTable(len(TITLES), texts={"title": TITLES})
    user, item = np.repeat(np.arange(9), 2), np.repeat(np.arange(9), 2)
    events = Interactions.build(user, item, n_users=9, n_items=len(TITLES))
    memory = MEMORIES.get(name)().fit(events, items)
    score = memory.score(events.users([0]))[0]  # somebody with a red lamp
    lamps = [row for row, title in enumerate(TITLES) if "台灯" in title and row]
    others = [row for row, title in enumerate(TITLES) if title[0] != "红" and "台灯" not in title]
    assert score[lamps].min() > score[others].max()


def test_they_are_found_by_their_words() -> None:
    index = TextIndex.of(FeatureTable(len(TITLES), texts={"title": TITLES}))
    assert index is not None
    found = np.flatnonzero(index.match("台灯"))
    assert [TITLES[row] for row in found] == [one for one in TITLES if "台灯" in one]


def test_a_catalogue_without_any_word_is_not_searched() -> None:
    assert TextIndex.of(FeatureTable(2, texts={"title": ["a 1", "★ !"]})) is None
