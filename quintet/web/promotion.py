"""The gate before a model goes live: would people have been served worse?

Judged on the places that were drawn at random and logged with their propensity (exploration), which
neither model chose. At each such place both models say with which probability they would have drawn
what was shown, given the places before it; what followed is weighted by the ratio (self-normalised
inverse propensity scoring, :mod:`quintet.metrics.off_policy`). The difference of the two values is
drawn by whole users, overall and by slice: people with short histories (cold), items seldom met
(tail), and every scenario.

Refused are a model that may be worse overall by more than is tolerated, one that is surely worse in
a slice, and any where too little was explored to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.metrics.intervals import Interval, cluster_bootstrap
from quintet.metrics.off_policy_log import BanditLog
from quintet.serve.slate.diversify import scaled
from quintet.serve.slate.draw import softmax
from quintet.serve.trained import Trained
from quintet.store import Event, Exposure, Journal
from quintet.store.records import Id, Owner
from quintet.web.people import Person, batch, person

Values = NDArray[np.float64]
#: policy that the service names where it drew without rules
DRAWN = "plackett-luce:"
COLD_LENGTH = 5
BLOCK = 64
LEAST_REWARDS_IN_SLICE = 10


@dataclass(frozen=True)
class Bar:
    """What a candidate must pass.

    Attributes:
        tolerance: share of the live model's value that it may lose, at the interval's low end.
        least_rows: weighted places (effective sample size) that it takes to judge.
        least_rewards: places with a reward that it takes.
        clip: greatest weight of a place.
    """

    tolerance: float = 0.05
    least_rows: float = 200.0
    least_rewards: int = 20
    clip: float = 20.0


@dataclass(frozen=True)
class Shown:
    """One logged list: what was drawn from what, and what followed.

    Attributes:
        exposure: as logged.
        offset: of it in the journal.
        reward_K: [K] of each place: 1 where the person went on to the item.
    """

    exposure: Exposure
    offset: int
    reward_K: Values


@dataclass(frozen=True)
class Compared:
    """Candidate less live, on one slice.

    Attributes:
        name: of the slice.
        live: value of the live model: reward a place.
        difference: candidate less live, with its interval.
        rows: places.
        rewards: places with a reward.
    """

    name: str
    live: float
    difference: Interval
    rows: int
    rewards: int


@dataclass
class Verdict:
    """Whether a candidate may go live, and why not.

    Attributes:
        promoted: whether it may.
        reasons: why not; empty where it may.
        slices: "overall" first.
        effective_rows: weighted places behind the candidate's value.
    """

    promoted: bool
    reasons: list[str]
    slices: list[Compared] = field(default_factory=list)
    effective_rows: float = 0.0

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def explored(journal: Journal, after: int) -> list[Shown]:
    """Logged lists behind an offset that were drawn at random, with what followed.

    Raises:
        StoreError: the journal cannot be read.
    """
    lists: list[tuple[int, Exposure]] = []
    followed: dict[str, set[Id]] = {}
    for entry in journal.read(after=after, kinds=[Exposure.kind, Event.kind]):
        record = entry.record
        if isinstance(record, Event):
            if record.request_id is not None:
                followed.setdefault(record.request_id, set()).add(record.item_id)
        elif isinstance(record, Exposure) and _drawn(record):
            lists.append((entry.offset, record))
    return [
        Shown(
            one,
            offset,
            np.array([item in followed.get(one.request_id, ()) for item in one.items], np.float64),
        )
        for offset, one in lists
    ]


def _drawn(one: Exposure) -> bool:
    return bool(
        one.items
        and one.propensities is not None
        and one.candidates is not None
        and (one.policy or "").startswith(DRAWN)
        and not one.unrepeatable
    )


def judge(
    live: Trained,
    candidate: Trained,
    journal: Journal,
    shown: Sequence[Shown],
    bar: Bar | None = None,
) -> Verdict:
    """Compare two models on lists that neither has learned from.

    Args:
        live: what answers now.
        candidate: what might.
        journal: where the histories are.
        shown: of :func:`explored`, behind what both were trained on.
        bar: what must be passed.

    Raises:
        StoreError: the journal cannot be read.
    """
    bar = bar if bar is not None else Bar()
    if not shown:
        return Verdict(False, ["nothing was explored: no list was drawn at random since"])
    reward_N = np.concatenate([one.reward_K for one in shown])
    propensity_N = np.concatenate([np.asarray(one.exposure.propensities) for one in shown])
    length_L = np.array([len(one.reward_K) for one in shown])
    owners = [one.exposure.owner.text for one in shown]
    group_N = np.repeat(np.unique(owners, return_inverse=True)[1], length_L)
    weights, logs = [], []
    for model in (live, candidate):
        target_N = np.concatenate(list(targets(model, journal, shown)))
        log = BanditLog(reward_N, propensity_N, target_N, group_N, clip=bar.clip)
        logs.append(log)
        weights.append(log.weight_N)
    effective = float(weights[1].sum() ** 2 / max((weights[1] ** 2).sum(), 1e-12))
    verdict = Verdict(False, [], effective_rows=effective)
    if effective < bar.least_rows or reward_N.sum() < bar.least_rewards:
        verdict.reasons.append(
            f"too little was explored to judge: {effective:.0f} weighted places of "
            f"{bar.least_rows:.0f}, {reward_N.sum():.0f} rewards of {bar.least_rewards}"
        )
        return verdict
    for name, in_N in slices(live, journal, shown).items():
        kept_N = reward_N * in_N if name == "tail" else reward_N
        rows_N = np.ones(len(in_N), np.bool_) if name == "tail" else in_N
        if name != "overall" and kept_N[rows_N].sum() < LEAST_REWARDS_IN_SLICE:
            continue
        columns = [weights[1] * kept_N, weights[1], weights[0] * kept_N, weights[0]]
        table = np.stack(columns, axis=1)[rows_N]
        difference = cluster_bootstrap(_difference, group_N[rows_N], table)
        value = float(table[:, 2].sum() / max(table[:, 3].sum(), 1e-12))
        rewards = int(kept_N[rows_N].sum())
        verdict.slices.append(Compared(name, value, difference, int(rows_N.sum()), rewards))
    verdict.reasons = list(objections(verdict.slices, bar))
    verdict.promoted = not verdict.reasons
    return verdict


def objections(found: Iterable[Compared], bar: Bar) -> Iterator[str]:
    """Why a candidate may not go live."""
    for one in found:
        low, high = one.difference.low, one.difference.high
        told = f"{one.difference.mean:+.4f} [{low:+.4f}, {high:+.4f}] against {one.live:.4f}"
        if one.name == "overall" and low < -bar.tolerance * one.live:
            yield f"overall: may lose more than {bar.tolerance:.0%}: {told}"
        elif high < 0:
            yield f"{one.name}: surely worse: {told}"


def _difference(sums_n4: Values) -> Values:
    below = np.maximum(sums_n4[:, 1::2], 1e-12)
    return np.asarray(sums_n4[:, 0] / below[:, 0] - sums_n4[:, 2] / below[:, 1])


def slices(live: Trained, journal: Journal, shown: Sequence[Shown]) -> dict[str, NDArray[np.bool_]]:
    """[N] places of each slice, by name."""
    count_I = live.count_I
    seldom = float(np.median(count_I[count_I > 0])) if (count_I > 0).any() else 0.0
    parts: dict[str, list[NDArray[np.bool_]]] = {}
    scenarios = {one.exposure.scenario for one in shown if one.exposure.scenario}
    for people, block in _people(live, journal, shown):
        for who, one in zip(people, block, strict=True):
            k = len(one.reward_K)
            rows = live.items.rows(list(one.exposure.items))
            count_K = np.where(rows >= 0, count_I[np.maximum(rows, 0)], 0.0)
            own = {
                "overall": np.ones(k, np.bool_),
                "cold": np.full(k, len(who) < COLD_LENGTH),
                "tail": count_K <= seldom,
            }
            own |= {
                f"scenario {name}": np.full(k, one.exposure.scenario == name) for name in scenarios
            }
            for name, mask in own.items():
                parts.setdefault(name, []).append(mask)
    return {name: np.concatenate(masks) for name, masks in parts.items()}


def targets(trained: Trained, journal: Journal, shown: Sequence[Shown]) -> Iterator[Values]:
    """[K] of each list: the model's probability of each item at its place, given those before."""
    for people, block in _people(trained, journal, shown):
        score_BI = trained.scorer.scores(batch(people, len(trained.items)))
        for row, one in enumerate(block):
            yield _targets(trained, score_BI[row], one.exposure)


def _targets(trained: Trained, score_I: NDArray[np.floating], one: Exposure) -> Values:
    assert one.candidates is not None
    assert one.policy is not None
    rows = trained.items.rows(list(one.candidates))
    known = rows >= 0
    utility_C = np.zeros(len(rows))
    utility_C[known] = scaled(score_I[rows[known]])
    place = {item: index for index, item in enumerate(one.candidates)}
    temperature = float(one.policy.removeprefix(DRAWN))
    free_C = np.ones(len(rows), np.bool_)
    result = np.zeros(len(one.items))
    for k, item in enumerate(one.items):
        chosen = place[item]
        result[k] = softmax(utility_C, free_C, temperature)[chosen]
        free_C[chosen] = False
    return result


def _asking(trained: Trained, one: Person, scenario: str | None) -> Person:
    """The person as asked in a scenario, if the model knows it."""
    names = trained.model.shape.scenarios
    if scenario not in names:
        return one
    return replace(one, asked={"scenario": np.array([names.index(scenario)])})


def _people(
    trained: Trained, journal: Journal, shown: Sequence[Shown]
) -> Iterator[tuple[list[Any], Sequence[Shown]]]:
    """Who asked, as a model knew them when the list was drawn; some lists at a time."""
    base = int(trained.run.get("journal_offset", 0))
    kept: dict[Owner, list[tuple[int, Event]]] = {}
    for first in range(0, len(shown), BLOCK):
        block, people = shown[first : first + BLOCK], []
        for one in block:
            owner = one.exposure.owner
            if owner not in kept:
                entries = journal.read_owner(owner, kinds=[Event.kind])
                kept[owner] = [
                    (entry.offset, entry.record)
                    for entry in entries
                    if isinstance(entry.record, Event)
                ]
            events = [event for at, event in kept[owner] if base < at < one.offset]
            user = one.exposure.user_id
            row = -1 if user is None else int(trained.users.rows([user])[0])
            people.append(_asking(trained, person(trained, row, events), one.exposure.scenario))
        yield people, block
