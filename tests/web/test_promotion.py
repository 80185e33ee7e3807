"""The gate: it lets equals pass, keeps worse ones out, and says when it cannot tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quintet.metrics.intervals import Interval
from quintet.serve.slate.diversify import scaled
from quintet.serve.slate.draw import gumbel_top_k, sequential
from quintet.serve.trained import Trained
from quintet.store import Event, Exposure, Journal, open_store
from quintet.web.people import batch, person
from quintet.web.promotion import Bar, Compared, explored, judge, objections, targets

TEMPERATURE, K = 0.5, 5


@pytest.fixture(scope="module")
def live(fitted) -> Trained:
    return fitted.recommender.trained


@pytest.fixture(scope="module")
def journal(live, tmp_path_factory):
    """Lists that the live model drew; people take what it thinks best, now and then."""
    with open_store(tmp_path_factory.mktemp("gate") / "journal") as opened:
        write(opened, live)
        yield opened


def write(journal: Journal, live: Trained, lists: int = 400) -> None:
    rng = np.random.default_rng(3)
    users = live.users.values.to_pylist()
    records: list[Exposure | Event] = []
    for number in range(lists):
        row = number % len(users)
        one = person(live, row, ())
        score_I = live.scorer.scores(batch([one], len(live.items)))[0]
        pool = np.argsort(-score_I)[:20]
        utility = scaled(score_I[pool])
        order = gumbel_top_k(utility, K, TEMPERATURE, rng)[0]
        ids = live.items.ids(pool)
        records.append(
            Exposure(
                request_id=f"r{number}",
                timestamp=number,
                model="live",
                user_id=users[row],
                items=tuple(ids[place] for place in order),
                propensities=tuple(sequential(utility, order, TEMPERATURE).tolist()),
                candidates=tuple(ids),
                policy=f"plackett-luce:{TEMPERATURE}",
                scenario="shop" if number % 2 else None,
            )
        )
        for place in order:
            if rng.random() < 0.6 * utility[place] ** 2:
                records.append(
                    Event(
                        event_id=f"e{number}-{place}",
                        user_id=users[row],
                        item_id=ids[place],
                        timestamp=number,
                        request_id=f"r{number}",
                    )
                )
    journal.append(records)


def turned(live: Trained) -> Trained:
    """A model that wants the opposite."""
    made = replace(live)
    made.__dict__["scorer"] = Backwards(live.scorer)
    return made


class Backwards:
    """A scorer with the order turned round."""

    def __init__(self, scorer) -> None:
        self.scorer = scorer

    def scores(self, histories):
        return -self.scorer.scores(histories)


def test_the_live_model_is_given_its_own_propensities(live, journal) -> None:
    """Histories grow by what follows, so only the first list of everybody is as it was."""
    shown = explored(journal, 0)[: len(live.users)]
    for one, target_K in zip(shown, targets(live, journal, shown), strict=True):
        assert target_K == pytest.approx(one.exposure.propensities, abs=5e-5)


def test_rewards_are_events_that_name_the_list(live, journal) -> None:
    shown = explored(journal, 0)
    assert len(shown) == 400
    clicks = sum(isinstance(entry.record, Event) for entry in journal.read())
    assert sum(one.reward_K.sum() for one in shown) == clicks > 100


def test_an_equal_passes_and_the_opposite_is_kept_out(live, journal) -> None:
    shown = explored(journal, 0)
    same = judge(live, live, journal, shown)
    assert same.promoted, same.reasons
    overall = same.slices[0]
    assert overall.name == "overall"
    assert overall.difference.mean == 0
    assert "scenario shop" in {one.name for one in same.slices}
    worse = judge(live, turned(live), journal, shown, Bar(least_rows=20))
    assert not worse.promoted
    assert worse.reasons[0].startswith("overall: may lose more than 5%")
    assert worse.slices[0].difference.high < 0


def test_it_says_when_it_cannot_tell(live, journal, tmp_path: Path) -> None:
    few = judge(live, live, journal, explored(journal, 0)[:10])
    assert not few.promoted
    assert "too little was explored" in few.reasons[0]
    nothing = judge(live, live, journal, [])
    assert "nothing was explored" in nothing.reasons[0]


def test_lists_without_chance_do_not_judge(tmp_path: Path) -> None:
    with open_store(tmp_path / "journal") as journal:
        journal.append(
            [Exposure(request_id="r", timestamp=1, model="m", user_id="u", items=("a",))]
        )
        assert explored(journal, 0) == []


def test_a_slice_that_is_surely_worse_is_enough() -> None:
    good = Compared("overall", 0.2, Interval(0.01, 0.0, 0.02, 50), 900, 90)
    bad = Compared("cold", 0.2, Interval(-0.05, -0.08, -0.01, 50), 100, 20)
    unsure = Compared("tail", 0.2, Interval(-0.05, -0.12, 0.01, 50), 100, 20)
    assert list(objections([good, unsure], Bar())) == []
    assert [reason.split(":")[0] for reason in objections([good, bad], Bar())] == ["cold"]
    lossy = replace(good, difference=Interval(0.0, -0.02, 0.02, 50))
    assert "may lose more than 5%" in next(iter(objections([lossy], Bar())))
    assert list(objections([lossy], Bar(tolerance=0.2))) == []


def test_the_service_s_own_lists_are_told_as_they_were_drawn(running) -> None:
    """Asked in a scenario too; what cannot be computed again does not judge."""
    users, live = running.ids("users")[:6], running.service.holder.live
    scenarios, items = live.trained.model.shape.scenarios, running.ids("items")
    before = running.service.journal.last_offset
    for scenario in (None, *scenarios):
        for user in users:
            asked = {"user_id": user, "k": 4, "exploration": 0.4, "scenario": scenario}
            running.post("/v1/recommend", asked)
    for more in ({"history": items[:3]}, {"query": "tea"}, {"context": {"device": "phone"}}):
        running.post("/v1/recommend", {"user_id": users[0], "k": 4, "exploration": 0.4, **more})
    shown = explored(running.service.journal, before)
    assert len(shown) == len(users) * (1 + len(scenarios))
    for one, target_K in zip(
        shown, targets(live.trained, running.service.journal, shown), strict=True
    ):
        assert target_K == pytest.approx(one.exposure.propensities, rel=1e-3)
