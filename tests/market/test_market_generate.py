"""The simulated marketplace keeps its promises: determinism, the dial, the chain and the truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.config import build
from quintet.errors import ConfigError
from quintet.market import STRATEGIES, Market, MarketConfig, best_possible, generate
from quintet.market.vocabulary import CATEGORIES

TABLES = ("log", "items", "users", "relations", "truth", "exposure_truth", "tastes")


@pytest.fixture(scope="module")
def market() -> Market:
    return generate(MarketConfig(n_users=600, n_items=400, seed=3))


@pytest.fixture(scope="module")
def exposed() -> Market:
    return generate(MarketConfig(n_users=400, n_items=300, seed=5, exposures=True))


def of_behaviour(log: pa.Table, behaviour: str) -> pa.Table:
    return log.filter(pc.equal(log["behaviour"], behaviour))


def test_same_settings_give_the_same_market() -> None:
    config = MarketConfig(n_users=40, n_items=60, exposures=True)
    first, again = generate(config), generate(config)
    assert all(getattr(first, name).equals(getattr(again, name)) for name in TABLES)
    other = generate(MarketConfig(n_users=40, n_items=60, exposures=True, seed=1))
    assert not first.log.equals(other.log)


def test_sizes_and_keys(market: Market) -> None:
    log = market.log
    assert len(market.users) == 600
    assert len(market.items) == 400
    assert set(log["user_id"].to_pylist()) == set(market.users["user_id"].to_pylist())
    assert set(log["item_id"].to_pylist()) <= set(market.items["item_id"].to_pylist())
    assert len(set(log["event_id"].to_pylist())) == len(log)
    assert len(of_behaviour(log, "view")) / 600 == pytest.approx(30, rel=0.1)
    times = log["timestamp"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert set(log["scenario"].to_pylist()) == set(market.config.scenarios)


def test_truth_never_stands_in_the_data(market: Market) -> None:
    shown = {name for t in ("log", "items", "users") for name in getattr(market, t).column_names}
    hidden = set(market.truth.column_names) | set(market.tastes.column_names)
    assert shown & hidden == {"event_id", "user_id", "item_id"}


def test_nothing_is_looked_at_before_its_release(market: Market) -> None:
    both = of_behaviour(market.log, "view").join(market.items, "item_id")
    assert pc.all(pc.greater_equal(both["timestamp"], both["released"])).as_py()


@pytest.mark.parametrize(
    ("behaviour", "implied"), [("like", "view"), ("cart", "view"), ("buy", "cart")]
)
def test_a_behaviour_has_what_it_implies_before_it(
    market: Market, behaviour: str, implied: str
) -> None:
    later = of_behaviour(market.log, behaviour)
    earlier = of_behaviour(market.log, implied)
    key = ["user_id", "item_id", "session_id"]
    joined = later.select([*key, "timestamp"]).join(
        earlier.select([*key, "timestamp"]).group_by(key).aggregate([("timestamp", "min")]), key
    )
    assert len(joined) == len(later) > 100
    assert pc.all(pc.less(joined["timestamp_min"], joined["timestamp"])).as_py()


def test_ratings_of_goods_follow_a_buy(market: Market) -> None:
    kinds = market.items.select(["item_id", "kind"])
    rated = of_behaviour(market.log, "rating").join(kinds, "item_id")
    assert set(rated["kind"].to_pylist()) == {"goods", "video"}
    assert set(rated["value"].to_pylist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    goods = rated.filter(pc.equal(rated["kind"], "goods"))
    bought = of_behaviour(market.log, "buy")
    pairs = set(zip(*(bought[c].to_pylist() for c in ("user_id", "item_id")), strict=True))
    assert all(
        pair in pairs
        for pair in zip(*(goods[c].to_pylist() for c in ("user_id", "item_id")), strict=True)
    )


def test_what_is_not_sold_is_never_bought(market: Market) -> None:
    bought = of_behaviour(market.log, "cart").join(market.items, "item_id", right_suffix="_item")
    assert set(bought["kind"].to_pylist()) == {"goods"}
    assert bought["price"].null_count == 0


def test_repurchases_are_of_consumables_bought_before(market: Market) -> None:
    again = market.truth.filter(pc.equal(market.truth["strategy"], "repurchase"))
    assert len(again) > 50
    items = again.join(market.items.select(["item_id", "consumable"]), "item_id")
    assert pc.all(items["consumable"]).as_py()
    log = market.log
    first_buy: dict[tuple[str, str], int] = {}
    order = {event: row for row, event in enumerate(log["event_id"].to_pylist())}
    for row, (user, item, behaviour) in enumerate(
        zip(*(log[c].to_pylist() for c in ("user_id", "item_id", "behaviour")), strict=True)
    ):
        if behaviour == "buy":
            first_buy.setdefault((user, item), row)
    for event, user, item in zip(
        *(again[c].to_pylist() for c in ("event_id", "user_id", "item_id")), strict=True
    ):
        assert first_buy[user, item] < order[event]


def test_strategy_frequencies_equal_their_true_probability(market: Market) -> None:
    truth = market.truth
    p = np.stack([truth[f"p_{name}"].to_numpy() for name in STRATEGIES], axis=1)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    label = np.array([STRATEGIES.index(name) for name in truth["strategy"].to_pylist()])
    assert (p[np.arange(len(p)), label] > 0).all()  # what happened was possible
    for strategy, name in enumerate(STRATEGIES):
        happened = label == strategy
        sigma = np.sqrt((p[:, strategy] * (1 - p[:, strategy])).sum())
        assert abs(happened.sum() - p[:, strategy].sum()) < 4 * sigma, name
        # also where the probability is high or low, not only on average
        high = p[:, strategy] > np.median(p[:, strategy])
        sigma = np.sqrt((p[high, strategy] * (1 - p[high, strategy])).sum())
        assert abs(happened[high].sum() - p[high, strategy].sum()) < 4 * sigma, name


@pytest.mark.parametrize("behaviour", ["like", "cart", "buy", "rating"])
def test_behaviour_rates_equal_their_true_probability(market: Market, behaviour: str) -> None:
    p = market.truth[f"p_{behaviour}"].to_numpy()
    happened = len(of_behaviour(market.log, behaviour))
    assert abs(happened - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_likes_are_more_frequent_where_they_are_more_probable(market: Market) -> None:
    truth, key = market.truth, ["user_id", "item_id", "session_id"]
    views = of_behaviour(market.log, "view").select(["event_id", "session_id"])
    truth = truth.join(views, "event_id")
    likes = (
        of_behaviour(market.log, "like").select(key).group_by(key).aggregate([([], "count_all")])
    )
    truth = truth.join(likes, key)
    liked = truth["count_all"].is_valid().to_numpy()
    p = truth["p_like"].to_numpy()
    high = p > np.quantile(p, 0.9)
    assert liked[high].mean() == pytest.approx(p[high].mean(), abs=0.05)
    assert liked[high].mean() > 2 * liked[~high].mean()


def test_mean_stars_equal_their_expectation(market: Market) -> None:
    truth = market.truth
    expected = np.average(truth["expected_stars"], weights=truth["p_rating"])
    stars = of_behaviour(market.log, "rating")["value"].to_numpy()
    assert stars.mean() == pytest.approx(expected, abs=4 * stars.std() / np.sqrt(len(stars)))


def hit_rates(predictability: float) -> tuple[float, float]:
    """Hit rate at 10 of first-order transitions and of popularity, on views of one scenario."""
    market = generate(
        MarketConfig(
            n_users=400,
            n_items=150,
            events_per_user=40,
            scenarios=("shop",),
            predictability=predictability,
            seed=11,
        )
    )
    views = of_behaviour(market.log, "view")
    rows = {item: row for row, item in enumerate(market.items["item_id"].to_pylist())}
    histories: dict[str, list[int]] = {}
    for user, item in zip(views["user_id"].to_pylist(), views["item_id"].to_pylist(), strict=True):
        histories.setdefault(user, []).append(rows[item])
    counts = np.zeros((len(rows), len(rows)))
    popularity = np.zeros(len(rows))
    for history in histories.values():
        np.add.at(counts, (history[:-11], history[1:-10]), 1)
        np.add.at(popularity, history[:-10], 1)
    last = np.concatenate([history[-11:-1] for history in histories.values() if len(history) > 20])
    target = np.concatenate([history[-10:] for history in histories.values() if len(history) > 20])
    score = counts[last] + popularity / popularity.sum() * 1e-3
    by_transition = np.argsort(-score, axis=1)[:, :10]
    hits = (by_transition == target[:, None]).any(axis=1).mean()
    return float(hits), float(np.isin(target, np.argsort(-popularity)[:10]).mean())


def test_the_dial_turns_predictability() -> None:
    rates = [hit_rates(dial) for dial in (0.0, 0.4, 0.7, 1.0)]
    hits = [hit for hit, _ in rates]
    assert all(np.diff(hits) > 0.03)
    assert hits[0] <= rates[0][1] + 0.01  # without order, transitions cannot beat popularity
    assert hits[-1] > 2 * rates[-1][1]


def test_at_zero_history_says_nothing() -> None:
    truth = generate(MarketConfig(n_users=30, n_items=100, predictability=0.0)).truth
    assert pc.all(truth["by_chance"]).as_py()
    truth = generate(MarketConfig(n_users=30, n_items=100, predictability=1.0)).truth
    assert not pc.any(truth["by_chance"]).as_py()


def test_titles_in_both_languages_and_queries_in_the_users(market: Market) -> None:
    for title, language in zip(
        market.items["title"].to_pylist(), market.items["language"].to_pylist(), strict=True
    ):
        has_chinese = any("\u4e00" <= letter <= "\u9fff" for letter in title)
        assert has_chinese == (language == "zh")
    share = Counter(market.items["language"].to_pylist())
    assert min(share["en"], share["zh"]) > 100
    log = market.log.join(market.users, "user_id")
    searched = np.array(log["scenario"].to_pylist()) == "search"
    assert (log["query"].is_valid().to_numpy() == searched).all()
    for query, language in set(
        zip(
            *(log.filter(pa.array(searched))[c].to_pylist() for c in ("query", "language")),
            strict=True,
        )
    ):
        assert query.isascii() == (language == "en")


def test_friends_have_similar_tastes(market: Market) -> None:
    users = market.tastes["user_id"].to_pylist()
    taste = np.stack(
        [market.tastes[f"taste_{category.english}"].to_numpy() for category in CATEGORIES], axis=1
    )
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    row = {user: index for index, user in enumerate(users)}
    ends = [
        np.array([row[user] for user in market.relations[c].to_pylist()])
        for c in ("source_id", "target_id")
    ]
    assert (ends[0] != ends[1]).all()
    assert len({frozenset(pair) for pair in zip(*ends, strict=True)}) == len(ends[0])
    between_friends = (taste[ends[0]] * taste[ends[1]]).sum(axis=1).mean()
    between_strangers = (taste @ taste.T).mean()
    assert between_friends > between_strangers + 0.2


def test_slates_tell_true_propensities(exposed: Market) -> None:
    log = exposed.log
    shown = of_behaviour(log, "impression")
    key = ["request_id", "position", "item_id"]
    assert len(shown.select(key).join(exposed.exposure_truth, key, join_type="inner")) == len(shown)
    first = shown.filter(pc.equal(shown["position"], 0))
    # 1 / propensity is an unbiased count of the offer: its mean is the number of items on offer
    on_offer = [
        (exposed.items["released"].to_numpy() <= time).sum()
        for time in first["timestamp"].to_numpy().astype("datetime64[D]")
    ]
    inverse = 1 / first["propensity"].to_numpy()
    error = inverse.std() / np.sqrt(len(inverse))
    assert inverse.mean() == pytest.approx(np.mean(on_offer), abs=4 * error)
    slates = shown.group_by("request_id").aggregate(
        [("item_id", "count_distinct"), ("position", "max"), ("propensity", "min")]
    )
    assert set(slates["item_id_count_distinct"].to_pylist()) == {6}
    assert set(slates["position_max"].to_pylist()) == {5}
    assert pc.min(slates["propensity_min"]).as_py() > 0


def test_looks_at_slates_equal_their_true_probability(exposed: Market) -> None:
    truth, views = exposed.exposure_truth, of_behaviour(exposed.log, "view")
    seen = views.filter(views["request_id"].is_valid())
    assert set(seen["scenario"].to_pylist()) == {"feed"}
    for position in range(6):
        p = truth.filter(pc.equal(truth["position"], position))["p_view"].to_numpy()
        n = pc.sum(pc.equal(seen["position"], position)).as_py()
        assert abs(n - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    of_slates = exposed.truth.filter(exposed.truth["strategy"].is_null())
    assert len(of_slates) == len(seen)


def test_the_best_possible_is_what_the_truth_gives() -> None:
    p = {f"p_{name}": [0.0, 0.0] for name in STRATEGIES}
    p["p_deepen"], p["p_explore"] = [0.75, 0.5], [0.25, 0.5]
    truth = pa.table(
        {
            "strategy": ["deepen", "explore"],
            **p,
            "p_like": [0.5, 0.5],
            "p_cart": [0.0, 0.2],
            "p_buy": [0.0, 0.0],
            "p_rating": [0.0, 0.0],
        }
    )
    best = best_possible(truth)
    assert best["strategy/accuracy"] == pytest.approx((0.75 + 0.5) / 2)
    # shares are .625 and .375: the first row says deepen, the second explore
    assert best["strategy/balanced_accuracy"] == pytest.approx((0.75 / 1.25 + 0.5 / 0.75) / 2)
    nats = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25) + np.log(0.5)) / 2
    assert best["strategy/log_loss"] == pytest.approx(nats)
    assert best["like/log_loss"] == pytest.approx(np.log(2))
    assert best["cart/log_loss"] == pytest.approx(-(0.2 * np.log(0.2) + 0.8 * np.log(0.8)))
    assert "buy/log_loss" not in best


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scenarios": ["shop"], "exposures": True}, "feed"),
        ({"scenarios": ["shop", "shop"]}, "twice"),
        ({"n_items": 40}, "at least 48"),
        ({"predictability": 1.5}, "predictability"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(MarketConfig, wrong)


@settings(max_examples=20, deadline=None)
@given(
    n_users=st.integers(2, 12),
    n_items=st.integers(48, 120),
    days=st.integers(2, 40),
    events_per_user=st.floats(1, 25),
    predictability=st.floats(0, 1),
    exposures=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_any_market_is_whole(**chosen: object) -> None:
    market = generate(build(MarketConfig, chosen))
    truth, log = market.truth, market.log
    free = truth.filter(truth["strategy"].is_valid())
    total = sum(free[f"p_{name}"].to_numpy() for name in STRATEGIES)
    np.testing.assert_allclose(total, 1.0)
    assert truth["event_id"].to_pylist() == of_behaviour(log, "view")["event_id"].to_pylist()
    assert truth["item_id"].to_pylist() == of_behaviour(log, "view")["item_id"].to_pylist()
    for name in ("p_like", "p_cart", "p_buy", "p_rating"):
        # a market so small that nobody looked at anything has no largest chance
        assert (pc.max(truth[name]).as_py() or 0) <= 1
    if chosen["exposures"]:
        assert pc.min_max(log["propensity"]).as_py()["max"] is None or (
            pc.max(log["propensity"]).as_py() <= 1
        )


@pytest.mark.parametrize("scenario", ["shop", "feed", "video", "news", "search", "people"])
def test_each_scenario_stands_alone(scenario: str) -> None:
    market = generate(
        build(MarketConfig, {"n_users": 20, "n_items": 60, "scenarios": [scenario], "days": 2})
    )
    assert set(market.log["scenario"].to_pylist()) == {scenario}
