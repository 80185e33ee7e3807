"""Checks for leakage: ways in which a result could be better than the model is.

Each check reads the evidence and says what it found, with numbers and a remedy; it says "ok" when
there is nothing to fear. Thresholds are rules of thumb and stand beside the check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.data.audit_finding import (
    SEVERITIES,
    Check,
    Evidence,
    Finding,
    Severity,
    grade,
    share,
)
from quintet.data.interactions import Interactions, Ints, Mask
from quintet.data.split import Part, Split

#: a deviation from chance counts only beyond this many standard deviations
CERTAIN_Z = 4.0


def constant_time(evidence: Evidence) -> Iterator[Finding]:
    """Times that say nothing: absent, one for all, or one for each user."""
    events = evidence.events
    if not evidence.timed:
        absent = not events.time.any()
        yield Finding(
            "constant_time",
            "note" if absent else "warning",
            f"{'The log has no times' if absent else 'All events have one time'}: the order of "
            "events is taken as given, and no split by time is possible. If the source has "
            "timestamps, read them.",
            {"distinct_times": 1.0},
        )
        return
    several = events.lengths > 1
    ends = events.time[events.offsets[1:][several] - 1]
    constant = share(ends == events.time[events.offsets[:-1][several]])
    yield Finding(
        "constant_time",
        grade(constant, note=0.1, warning=0.5),
        f"{constant:.1%} of the users with two events or more have all of them at one time"
        + ("." if constant < 0.1 else ": their order is unknown; treat their events as a set."),
        {"share_of_users": constant},
    )


def time_ties(evidence: Evidence) -> Iterator[Finding]:
    """Events that share their time with a neighbour of the same user."""
    if not evidence.timed:
        return
    in_tie = np.zeros(len(evidence.events), np.bool_)
    in_tie[1:] |= evidence.tied
    in_tie[:-1] |= evidence.tied
    values = {"share": share(in_tie)}
    message = f"{values['share']:.1%} of events share their time with another of the same user"
    if evidence.split is not None:
        values["share_of_targets"] = share(in_tie[_is_target(evidence.split)])
        message += f" ({values['share_of_targets']:.1%} of the targets)"
    severity = grade(max(values.values()), note=0.01, warning=0.1)
    yield Finding(
        "time_ties",
        severity,
        message
        + (
            "."
            if severity == "ok"
            else "; which came last among them is a coin toss. Use finer timestamps, or treat "
            "events of one time as one basket."
        ),
        values,
    )


def id_order(evidence: Evidence) -> Iterator[Finding]:
    """Items that ascend along histories, by row or by id: the log was sorted by them.

    Counts ascending pairs of neighbours within users; by chance half of them ascend. Pairs with
    the first event of an item in the log are left out: rows are given in order of first
    appearance, so that a new item always stands above its predecessor.
    """
    events = evidence.events
    first = _first_of_item(events, np.arange(len(events)))
    first |= _first_of_item(events, np.argsort(events.time, kind="stable"))
    pairs = evidence.neighbours & (events.item[1:] != events.item[:-1])
    pairs &= ~first[1:] & ~first[:-1]
    orders = {"row": events.item}
    if evidence.item_names is not None:
        orders["id"] = _rank_of_names(evidence.item_names)[events.item]
    found = [_ascent(evidence, what, place, pairs) for what, place in orders.items()]
    yield max(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _ascent(evidence: Evidence, what: str, place: Ints, pairs: Mask) -> Finding:
    """How often ``place`` [E] ascends over the pairs [E - 1] of neighbours."""
    ascending = place[1:] > place[:-1]
    overall, z = _against_half(ascending[pairs])
    values = {"ascending": overall, "z": z}
    message = f"Items ascend by {what} in {overall:.1%} of neighbouring events (chance: 50%)"
    if evidence.timed:
        in_ties, ties_z = _against_half(ascending[pairs & evidence.tied])
        values |= {"ascending_in_ties": in_ties, "z_in_ties": ties_z}
        message += f", in {in_ties:.1%} where times are equal"
        severity = max(
            _order_severity(overall, z, note=0.05, warning=0.1),
            _order_severity(in_ties, ties_z, note=0.02, warning=0.05, danger=0.1),
            key=SEVERITIES.index,
        )
    else:
        severity = _order_severity(overall, z, note=0.05, warning=0.1, danger=0.25)
    if severity != "ok":
        message += (
            "; the log seems sorted by it where times are equal or missing, so that the order of "
            "ids tells what comes next. Read real timestamps, and break equal times by a seeded "
            "hash (keep_order=False)"
        )
    return Finding("id_order", severity, f"{message}.", values)


def _rank_of_names(names: Sequence[str]) -> Ints:
    """[I] the place of each item when ids are sorted: as numbers if all are, else as text."""
    texts = np.asarray(names, dtype=np.str_)
    try:
        keys: NDArray[np.generic] = texts.astype(np.float64)
    except ValueError:
        keys = texts
    rank = np.empty(len(keys), np.int64)
    rank[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return rank


def copies_across_parts(evidence: Evidence) -> Iterator[Finding]:
    """The same event (user, item, behaviour, time) in training and among the targets."""
    if evidence.split is None or not evidence.timed:
        return
    events, part = evidence.split.events, evidence.split.part
    order, copy = sorted_copies(events)
    group = np.cumsum(~copy) - 1
    learned = np.zeros(len(events), np.bool_)
    learned[group[np.isin(part[order], (Part.TRAIN, Part.HISTORY))]] = True
    leaked = share(learned[group[_is_target(evidence.split)[order]]])
    yield Finding(
        "copies_across_parts",
        "danger" if leaked else "ok",
        f"{leaked:.2%} of the targets stand in training too, with the same user, item, behaviour "
        "and time" + ("; drop exact copies before splitting." if leaked else "."),
        {"share": leaked},
    )


def future_in_train(evidence: Evidence) -> Iterator[Finding]:
    """Training events of a user that happened after his own targets."""
    split = evidence.split
    if split is None or not evidence.timed:
        return
    last_known = np.full(split.events.n_users, np.iinfo(np.int64).min)
    known = np.isin(split.part, (Part.TRAIN, Part.HISTORY))
    np.maximum.at(last_known, split.events.user[known], split.events.time[known])
    targets = _is_target(split)
    late = share(split.events.time[targets] < last_known[split.events.user[targets]])
    yield Finding(
        "future_in_train",
        "danger" if late else "ok",
        f"{late:.1%} of the targets happened before a training event of the same user"
        + ("; split by time (leave_one_out, temporal_tail or global_time)." if late else "."),
        {"share": late},
    )


def future_of_others(evidence: Evidence) -> Iterator[Finding]:
    """Training events of other people that happened after a target, as in leave-one-out."""
    split = evidence.split
    if split is None or not evidence.timed or not len(split.train):
        return
    later = share(split.test.time < split.train.time.max())
    many = later >= 0.05
    yield Finding(
        "future_of_others",
        "note" if many else "ok",
        f"{later:.1%} of the test targets happened before the last training event of others"
        + ("; trends are seen ahead of time, so report a global_time split too." if many else "."),
        {"share": later},
    )


def repeat_targets(evidence: Evidence) -> Iterator[Finding]:
    """Targets that their user had before: decides whether rankings may mask the history."""
    if evidence.split is None:
        return
    repeats = share(evidence.repeated[_is_target(evidence.split)])
    severity: Severity = "ok"
    advice = "rank with the history masked"
    if 0.0 < repeats < 0.01:
        severity = "warning"
        advice = (
            "too few for a habit, so probably the same event recorded twice. Keep one event for "
            "each user and item, or these targets are lost when the history is masked"
        )
    elif repeats > 0.0:
        severity = "note"
        advice = "masking the history makes them unreachable. Report unmasked rankings too"
    yield Finding(
        "repeat_targets",
        severity,
        f"{repeats:.2%} of the targets are items that their user had before: {advice}.",
        {"share": repeats},
    )


def unseen(evidence: Evidence) -> Iterator[Finding]:
    """Targets whose item or user has no training event."""
    split = evidence.split
    if split is None:
        return
    targets = split.events.select(_is_target(split))
    cold_items = share(split.train.item_counts()[targets.item] == 0)
    cold_users = share(split.valid_histories().lengths[targets.user] == 0)
    for kind, cold, remedy in (
        ("items", cold_items, "only content can rank them, so report them apart"),
        ("users", cold_users, "they get what is popular, so report them apart"),
    ):
        yield Finding(
            f"unseen_{kind}",
            grade(cold, note=1e-9, warning=0.1),
            f"{cold:.1%} of the targets are of {kind} without a training event"
            + (f": {remedy}." if cold else "."),
            {"share": cold},
        )


def target_in_features(evidence: Evidence) -> Iterator[Finding]:
    """Numeric attributes that follow popularity, activity or the mean value too closely.

    Compares by Spearman's rank correlation, over rows with events. A column such as ``n_ratings``
    or ``avg_rating`` that was computed from the whole log holds the test's answers.
    """
    for owner, table in (("item", evidence.items), ("user", evidence.users)):
        if table is None:
            continue
        suspects = 0
        for name, column in table.numbers.items():
            found = _suspect(evidence, owner, name, column.raw)
            if found is not None:
                suspects += 1
                yield found
        if not suspects:
            yield Finding(
                "target_in_features",
                "ok",
                f"None of the {len(table.numbers)} numeric {owner} columns follows the number of "
                "events or their mean value.",
                {"columns": float(len(table.numbers))},
            )


def _suspect(evidence: Evidence, owner: str, name: str, raw: NDArray[np.float32]) -> Finding | None:
    whole = _follows(evidence.events, owner, raw)
    what, strongest = max(whole.items(), key=lambda pair: abs(pair[1]))
    severity = grade(abs(strongest), note=0.7, warning=0.7, danger=0.9)
    if severity == "ok":
        return None
    values = {f"correlation_{key}": value for key, value in whole.items()}
    message = (
        f"{owner.capitalize()} column {name!r} follows the {what} of the {owner}'s events "
        f"(rank correlation {strongest:+.2f})"
    )
    if evidence.split is not None:
        trained = _follows(evidence.split.train, owner, raw)[what]
        values[f"correlation_{what}_train"] = trained
        if abs(trained) > abs(strongest):
            severity = "warning"
            message += f", more so in training alone ({trained:+.2f})"
    return Finding(
        "target_in_features",
        severity,
        message + ". If it was computed from this log, drop it: it holds the answers; the model "
        "counts training events itself.",
        values,
    )


def _follows(events: Interactions, owner: str, raw: NDArray[np.float32]) -> dict[str, float]:
    """Spearman correlation of an attribute [N] with the count and the mean value of events."""
    rows = events.item if owner == "item" else events.user
    counts = np.bincount(rows, minlength=len(raw))
    valued = np.isfinite(events.value)
    n_valued = np.bincount(rows[valued], minlength=len(raw))
    sums = np.bincount(rows[valued], weights=events.value[valued], minlength=len(raw))
    means = np.divide(sums, n_valued, out=np.full(len(raw), np.nan), where=n_valued > 0)
    return {
        "count": _spearman(raw, np.where(counts > 0, counts, np.nan)),
        "mean value": _spearman(raw, means),
    }


def _spearman(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Rank correlation over rows where both are known; 0 with fewer than 20 rows or no spread."""
    from scipy.stats import rankdata

    both = np.isfinite(left) & np.isfinite(right)
    if np.count_nonzero(both) < 20 or np.ptp(left[both]) == 0 or np.ptp(right[both]) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(left[both]), rankdata(right[both]))[0, 1])


def _is_target(split: Split) -> Mask:
    """[E] whether an event of the split is a target."""
    return np.isin(split.part, (Part.VALID, Part.TEST))


def sorted_copies(events: Interactions) -> tuple[Ints, Mask]:
    """[E] an order that puts equal events side by side, and whether each equals the one before."""
    columns = (events.user, events.item, events.behaviour, events.time)
    order = np.lexsort(columns[::-1])
    copy = np.zeros(len(events), np.bool_)
    copy[1:] = np.logical_and.reduce([np.diff(column[order]) == 0 for column in columns])
    return order, copy


def _first_of_item(events: Interactions, order: Ints) -> Mask:
    """[E] whether an event is its item's first in the given order of events."""
    first = np.zeros(len(events), np.bool_)
    first[order[np.unique(events.item[order], return_index=True)[1]]] = True
    return first


def _against_half(ascending: Mask) -> tuple[float, float]:
    """Share of true, and how many standard deviations of a fair coin it is from a half."""
    if not len(ascending):
        return 0.5, 0.0
    mean = share(ascending)
    return mean, (mean - 0.5) * 2.0 * float(np.sqrt(len(ascending)))


def _order_severity(
    ascending: float, z: float, *, note: float, warning: float, danger: float = np.inf
) -> Severity:
    if abs(z) < CERTAIN_Z:
        return "ok"
    return grade(abs(ascending - 0.5), note=note, warning=warning, danger=danger)


LEAKAGE: tuple[Check, ...] = (
    constant_time,
    time_ties,
    id_order,
    copies_across_parts,
    future_in_train,
    future_of_others,
    repeat_targets,
    unseen,
    target_in_features,
)
