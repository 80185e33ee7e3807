"""Checks of quality: what a log can teach, before time is spent on training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quintet.data.audit_checks import sorted_copies
from quintet.data.audit_finding import Check, Evidence, Finding, grade, share
from quintet.data.interactions import Ints

#: microseconds
YEAR = 31_556_952_000_000
#: no log of events is that long
FAR_YEARS = 40


def duplicates(evidence: Evidence) -> Iterator[Finding]:
    """Events recorded twice: equal in user, item, behaviour and time."""
    if not evidence.timed:
        return  # repeats cannot be told from copies
    _, copy = sorted_copies(evidence.events)
    found = share(copy)
    yield Finding(
        "duplicates",
        grade(found, note=1e-12, warning=0.01),
        f"{found:.2%} of events are exact copies of another"
        + ("; drop them when cleaning." if found else "."),
        {"share": found},
    )


def distant_times(evidence: Evidence) -> Iterator[Finding]:
    """Events so far from the others in time that their times are of another unit, or made up."""
    if not evidence.timed:
        return
    time = evidence.events.time
    middle = np.median(time)
    far = np.abs(time - middle) > FAR_YEARS * YEAR
    message = f"All times lie within {FAR_YEARS} years of the middle one."
    if far.any():
        named = np.sort(time[far])[[0, -1]].astype("datetime64[us]").astype("datetime64[Y]")
        years = " and ".join(dict.fromkeys(map(str, named)))
        message = (
            f"{share(far):.2%} of events ({int(far.sum()):,}) lie more than {FAR_YEARS} years from "
            f"the middle one ({np.datetime64(int(middle), 'us').astype('datetime64[Y]')}), as in "
            f"{years}. Seconds and milliseconds in one column look like that: bring them to one "
            "unit. So do zeros in the place of missing times: leave those empty."
        )
    yield Finding(
        "distant_times",
        grade(share(far), note=1e-12, warning=0.0001, danger=0.01),
        message,
        {"share": share(far)},
    )


def popularity(evidence: Evidence) -> Iterator[Finding]:
    """How unevenly events fall on items."""
    counts = np.sort(evidence.events.item_counts())
    seen = counts[counts > 0]
    top = -(-len(seen) // 100)  # a hundredth, rounded up
    values = {
        "gini": gini(seen),
        "top_1_percent_share": float(seen[-top:].sum() / max(seen.sum(), 1)),
        "items_without_events": 1.0 - len(seen) / max(len(counts), 1),
    }
    severity = grade(values["top_1_percent_share"], note=0.3, warning=0.6)
    yield Finding(
        "popularity",
        severity,
        f"The most popular 1% of items draw {values['top_1_percent_share']:.1%} of events (Gini "
        f"{values['gini']:.2f}); {values['items_without_events']:.1%} of items have none"
        + (
            "."
            if severity == "ok"
            else ". Compare with a popularity baseline, and report coverage and novelty too."
        ),
        values,
    )


def lengths(evidence: Evidence) -> Iterator[Finding]:
    """How long histories are."""
    active = evidence.events.lengths[evidence.events.lengths > 0]
    if not len(active):
        return
    levels = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
    values = {name: float(np.quantile(active, level)) for name, level in levels.items()}
    values["shorter_than_3"] = share(active < 3)
    severity = grade(values["shorter_than_3"], note=0.2, warning=0.6)
    yield Finding(
        "lengths",
        severity,
        f"Users have {values['median']:.0f} events in the median (least {values['min']:.0f}, 95% up"
        f" to {values['q95']:.0f}, most {values['max']:.0f}); {values['shorter_than_3']:.1%} have "
        "fewer than 3"
        + ("." if severity == "ok" else " and cannot be tested: results speak for the others."),
        values,
    )


def heavy_users(evidence: Evidence) -> Iterator[Finding]:
    """One account with a large part of the log: often a robot or a shared device."""
    counts = evidence.events.lengths
    if len(counts) < 100 or not counts.any():
        return
    heaviest = int(np.argmax(counts))
    found = float(counts[heaviest] / counts.sum())
    names = evidence.user_names
    who = f"user row {heaviest}" if names is None else f"user {names[heaviest]!r}"
    severity = grade(found, note=0.02, warning=0.05)
    yield Finding(
        "heavy_users",
        severity,
        f"The most active account ({who}) has {found:.1%} of events"
        + ("." if severity == "ok" else "; if it is a robot or a till, leave it out."),
        {"share": found},
    )


def density(evidence: Evidence) -> Iterator[Finding]:
    """How much there is to learn from, for each pair and for each item."""
    events = evidence.events
    n_pairs = len(events) - int(np.count_nonzero(evidence.repeated))
    n_users = int(np.count_nonzero(events.lengths))
    n_items = int(np.count_nonzero(events.item_counts()))
    values = {
        "density": n_pairs / max(n_users * n_items, 1),
        "events_per_item": len(events) / max(n_items, 1),
        "events_per_user": len(events) / max(n_users, 1),
    }
    per_item = values["events_per_item"]
    yield Finding(
        "density",
        grade(-per_item, note=-5.0, warning=-2.0),
        f"{values['density']:.3%} of user-item pairs occur; {per_item:.1f} events an item, "
        f"{values['events_per_user']:.1f} a user"
        + ("." if per_item > 5.0 else ". Ids teach little here: give items their attributes."),
        values,
    )


def behaviours(evidence: Evidence) -> Iterator[Finding]:
    """How events fall on behaviours."""
    names = evidence.behaviours
    if names is None:
        return
    counts = np.bincount(evidence.events.behaviour, minlength=len(names))
    shares = counts / max(counts.sum(), 1)
    empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
    mix = ", ".join(f"{name} {part:.1%}" for name, part in zip(names, shares, strict=True))
    yield Finding(
        "behaviours",
        "warning" if empty else "ok",
        f"Events by behaviour: {mix}"
        + (f". No event of: {', '.join(empty)}; check the log's spelling." if empty else "."),
        {str(name): float(part) for name, part in zip(names, shares, strict=True)},
    )


def gini(counts: Ints) -> float:
    """Gini coefficient of ascending counts [N]: 0 all equal, near 1 all on one."""
    n = len(counts)
    if n == 0 or not counts.any():
        return 0.0
    ranks = np.arange(1, n + 1)
    return float(2.0 * np.sum(ranks * counts) / (n * counts.sum()) - (n + 1) / n)


def distributions(evidence: Evidence) -> dict[str, NDArray[np.float64]]:
    """Histograms for plots: bins double in width; ``*_counts`` has one value less than ``*_edges``.

    ``popularity_*`` counts items by their events, ``length_*`` users by theirs;
    ``popularity_share`` [101] is the share of events of the most popular 0, 1, ..., 100% of items.
    """
    by_item, by_user = evidence.events.item_counts(), evidence.events.lengths
    popularity_edges, popularity_counts = _doubling(by_item)
    length_edges, length_counts = _doubling(by_user)
    running = np.concatenate([[0], np.cumsum(np.sort(by_item)[::-1])])
    at = np.rint(np.linspace(0, len(by_item), 101)).astype(np.int64)
    return {
        "popularity_edges": popularity_edges,
        "popularity_counts": popularity_counts,
        "popularity_share": running[at] / max(running[-1], 1),
        "length_edges": length_edges,
        "length_counts": length_counts,
    }


def _doubling(counts: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges 0, 1, 2, 4, 8, ... past the greatest count, and how many counts lie in each bin."""
    greatest = int(counts.max(initial=0))
    edges = np.concatenate([[0.0], 2.0 ** np.arange(greatest.bit_length() + 1)])
    return edges, np.histogram(counts, edges)[0].astype(np.float64)


QUALITY: tuple[Check, ...] = (
    duplicates,
    distant_times,
    popularity,
    lengths,
    heavy_users,
    density,
    behaviours,
)
