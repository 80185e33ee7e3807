"""The audit that runs before training: is this log honest, and what can it teach?

::

    report = audit(events, leave_one_out(events), items=features)
    rich.print(report)

Checks stand in ``audit_checks.py`` (leakage) and ``audit_quality.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quintet.data.audit_checks import LEAKAGE
from quintet.data.audit_finding import SEVERITIES, Evidence, Finding, Severity
from quintet.data.audit_quality import QUALITY, distributions
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions
from quintet.data.split import Split
from quintet.errors import DataError, EmptyDataError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["AuditReport", "Finding", "Severity", "audit"]

MARKS: dict[Severity, str] = {
    "ok": "[green]ok[/]",
    "note": "[cyan]note[/]",
    "warning": "[yellow]warning[/]",
    "danger": "[bold red]DANGER[/]",
}


@dataclass(frozen=True)
class AuditReport:
    """What the audit found.

    Attributes:
        findings: one or more a check, the gravest first.
        distributions: histograms of item popularity and history length, as arrays for plots.
        counts: numbers of events, users and items.
    """

    findings: list[Finding]
    distributions: dict[str, NDArray[np.float64]]
    counts: dict[str, int]

    @property
    def worst(self) -> Severity:
        """The gravest severity found."""
        return self.findings[0].severity if self.findings else "ok"

    def named(self, name: str) -> list[Finding]:
        """The findings of one check; empty where it did not apply."""
        return [finding for finding in self.findings if finding.name == name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "counts": dict(self.counts),
            "worst": self.worst,
            "findings": [asdict(finding) for finding in self.findings],
            "distributions": {name: array.tolist() for name, array in self.distributions.items()},
        }

    def __rich__(self) -> Table:
        """A table that a stranger can read."""
        from rich.markup import escape
        from rich.table import Table

        sizes = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        table = Table(title=f"Audit: {sizes}", title_justify="left", show_lines=False)
        table.add_column("", no_wrap=True)
        table.add_column("check", no_wrap=True)
        table.add_column("what was found")
        for finding in self.findings:
            name = finding.name.replace("_", " ")
            table.add_row(MARKS[finding.severity], name, escape(finding.message))
        return table


def audit(
    events: Interactions,
    split: Split | None = None,
    *,
    items: FeatureTable | None = None,
    users: FeatureTable | None = None,
    user_names: Sequence[str] | None = None,
    item_names: Sequence[str] | None = None,
    behaviours: Sequence[str] | None = None,
) -> AuditReport:
    """Look for leakage and poor quality before training.

    Args:
        events: the whole log, E events of U users on I items.
        split: how it will be split; without it the checks of targets are left out.
        items: attributes of the I items.
        users: attributes of the U users.
        user_names: [U] ids, to name an account in a message.
        item_names: [I] ids, to see whether the log was sorted by them.
        behaviours: names of the behaviours, by index.

    Raises:
        EmptyDataError: the log has no events.
        DataError: the split or the attributes belong to another log.
    """
    if not len(events):
        raise EmptyDataError("the log has no events: nothing to audit")
    if split is not None and len(split.events) != len(events):
        raise DataError(
            f"the split labels {len(split.events)} events and the log has {len(events)}: "
            "audit the log that was split (split.events)"
        )
    for what, table, expected in (
        ("items", items, events.n_items),
        ("users", users, events.n_users),
    ):
        if table is not None and table.n_rows != expected:
            raise DataError(f"attributes of {table.n_rows} {what}, but the log has {expected}")
    if behaviours is not None and events.behaviour.max() >= len(behaviours):
        raise DataError(
            f"behaviour {events.behaviour.max()} has no name: {len(behaviours)} names were given"
        )
    evidence = Evidence(events, split, items, users, user_names, item_names, behaviours)
    found = [finding for check in (*LEAKAGE, *QUALITY) for finding in check(evidence)]
    return AuditReport(
        findings=sorted(found, key=lambda finding: -SEVERITIES.index(finding.severity)),
        distributions=distributions(evidence),
        counts={
            "events": len(events),
            "users": int(np.count_nonzero(events.lengths)),
            "items": int(np.count_nonzero(events.item_counts())),
        },
    )
