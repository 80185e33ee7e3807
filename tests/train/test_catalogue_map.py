"""The map of the catalogue: places, groups, and how the report draws it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from quintet.train.catalogue_map import FEWEST_ITEMS, catalogue_map
from quintet.train.report import render_report
from quintet.train.report_map import MOST_LABELS


@pytest.fixture(scope="module")
def points(recommender) -> list:
    return catalogue_map(recommender.trained)


def test_every_item_that_was_met_has_a_place(recommender, points) -> None:
    trained = recommender.trained
    assert len(points) == (trained.count_I > 0).sum()
    assert [one["events"] for one in points] == sorted(
        trained.count_I[trained.count_I > 0].astype(int), reverse=True
    )
    places = np.array([[one["x"], one["y"]] for one in points])
    assert places.min(0) == pytest.approx([0, 0])
    assert places.max(0) == pytest.approx([1, 1])


def test_groups_are_the_largest_categories_of_peoples_interests(recommender, points) -> None:
    trained = recommender.trained
    column = trained.item_table[trained.model.shape.interest].to_pylist()
    titles = trained.item_table["title"].to_pylist()
    of_title = dict(zip(titles, column, strict=True))
    sizes = Counter(one["group"] for one in points)
    assert len(sizes) <= 8
    for one in points:
        if one["group"] != "other":
            assert one["group"] == of_title[one["title"]]


def test_the_same_map_on_every_run(recommender, points) -> None:
    assert catalogue_map(recommender.trained) == points


def test_the_items_met_most_come_first_where_there_are_too_many(recommender) -> None:
    count = np.sort(recommender.trained.count_I)[::-1]
    few = catalogue_map(recommender.trained, most=12)
    assert [one["events"] for one in few] == count[:12].astype(int).tolist()


def test_a_tiny_catalogue_has_no_map(recommender) -> None:
    assert catalogue_map(recommender.trained, most=FEWEST_ITEMS - 1) == []


def test_the_report_draws_one_point_an_item(points) -> None:
    page = render_report({"dataset": "market", "catalogue": points})
    assert page.count("<circle") == len(points)
    assert 0 < len(re.findall(r"<text", page)) <= MOST_LABELS
    assert "The catalogue as the model sees it" in page
    assert "<svg" not in render_report({"dataset": "market"})


def test_titles_on_the_map_are_escaped() -> None:
    point = {"x": 0.5, "y": 0.5, "title": "<b>&", "group": "<i>", "events": 1}
    page = render_report({"dataset": "market", "catalogue": [point]})
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;: &lt;i&gt;, 1 events" in page
