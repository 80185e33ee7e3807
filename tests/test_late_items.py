"""New items through the public API, with nothing refitted."""

from __future__ import annotations

import pytest

import quintet
from quintet.errors import DataError


@pytest.fixture
def model(fitted, tmp_path):
    """A model of one's own, as a user would open it."""
    fitted.save(tmp_path / "bundle")
    return quintet.load(tmp_path / "bundle")


def like(model, item: str) -> dict:
    """What the catalogue says of an item."""
    return {k: v for k, v in model.recommender.describe([item])[0].items() if k != "item_id"}


def test_a_new_item_can_be_asked_for_and_is_near_its_like(model) -> None:
    twin = like(model, "i3")
    assert model.add_items({"new": twin, "newer": twin}) is model
    assert model.similar("new", k=1)[0]["item_id"] == "newer"
    assert "category" in model.similar("new", k=1)[0]["shared"]
    answers = model.recommend(["u1", "u2"], k=1, candidates=["new"])
    assert [one.item_id for one in answers] == ["new", "new"]
    assert 0 <= model.predict([("u1", "new")])["p_buy"][0].as_py() <= 1
    assert [one.rank for one in model.session(["new", "i5"], k=4)] == [1, 2, 3, 4]


def test_a_grown_model_is_saved_whole(model, tmp_path) -> None:
    model.add_items({"new": like(model, "i3")})
    model.save(tmp_path / "grown")
    again = quintet.load(tmp_path / "grown")
    one, other = (
        [(a.item_id, round(a.score, 4)) for a in m.recommend(["u1", "u7"], k=20)]
        for m in (model, again)
    )
    assert one == other
    assert "new" in again.recommender.trained.items


def test_an_item_of_unknown_columns_is_refused(model) -> None:
    with pytest.raises(DataError, match="item 'new': no column 'colour'; columns: title"):
        model.add_items({"new": {"colour": "red"}})
    with pytest.raises(DataError, match="price"):
        model.add_items({"new": {"price": "dear"}})
    assert "new" not in model.recommender.trained.items


def test_evaluation_stays_that_of_the_fit(market) -> None:
    own = quintet.Quintet(model={"width": 16}, loop={"epochs": 1}, memories={}).fit(market)
    before = own.evaluate()["ndcg@10"]["mean"]
    own.add_items({"new": {"title": "a tea cup"}})
    assert own.evaluate()["ndcg@10"]["mean"] == before
