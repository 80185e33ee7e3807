"""What matched when logs and tables were joined."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class LogMatch:
    """One log: its events, how many of them have a time, and the rows refused on reading."""

    name: str
    events: int
    timed: int
    rejected: int


@dataclass
class TableMatch:
    """One table of items or users against the log.

    Attributes:
        table: ``items`` or ``users``.
        name: the source's name.
        rows: rows of the table.
        matched: ids of the log that the table describes.
        only_in_table: ids of the table without an event.
        only_in_log: ids of the log that the table does not describe.
        events_described: events whose id the table describes.
        events: all events.
        rejected: rows refused on reading.
    """

    table: str
    name: str
    rows: int
    matched: int
    only_in_table: int
    only_in_log: int
    events_described: int
    events: int
    rejected: int

    def percentages(self) -> dict[str, float]:
        """Shares in percent: ids of the log and of the table that matched, events described."""
        return {
            "log_matched_percent": _percent(self.matched, self.matched + self.only_in_log),
            "table_matched_percent": _percent(self.matched, self.matched + self.only_in_table),
            "events_described_percent": _percent(self.events_described, self.events),
        }


@dataclass
class RelationMatch:
    """Edges of one kind, and those whose users or items are all known."""

    kind: str
    edges: int
    matched: int


@dataclass
class JoinReport:
    """What matched.

    Attributes:
        name: of the data set.
        logs: the logs, in order.
        users: distinct users of the log, people merged.
        items: distinct items of the log.
        tables: the tables of items and users.
        relations: edges by kind.
        merged_ids: user ids that identity edges turned into another one.
        notes: what was decided on the way, such as the type of ids.
    """

    name: str = ""
    logs: list[LogMatch] = field(default_factory=list)
    users: int = 0
    items: int = 0
    tables: list[TableMatch] = field(default_factory=list)
    relations: list[RelationMatch] = field(default_factory=list)
    merged_ids: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Events of all logs."""
        return sum(log.events for log in self.logs)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, percentages included."""
        tables = [{**asdict(table), **table.percentages()} for table in self.tables]
        return {**asdict(self), "events": self.events, "tables": tables}

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=f"{self.name}: what matched", title_justify="left")
        for heading in ("source", "rows", "matched", "not matched", "rejected"):
            table.add_column(heading, justify="left" if heading == "source" else "right")
        for log in self.logs:
            untimed = log.events - log.timed
            missing = f"{untimed:,} without a time" if untimed else ""
            table.add_row(f"log {log.name}", f"{log.events:,}", "", missing, f"{log.rejected:,}")
        for one in self.tables:
            share = one.percentages()["log_matched_percent"]
            table.add_row(
                f"{one.table} {one.name}",
                f"{one.rows:,}",
                f"{one.matched:,} ({share:.1f} % of the log's {one.table})",
                f"{one.only_in_log:,} only in the log, {one.only_in_table:,} only in the table",
                f"{one.rejected:,}",
            )
        for edge in self.relations:
            lost = f"{edge.edges - edge.matched:,}"
            table.add_row(
                f"relations {edge.kind}", f"{edge.edges:,}", f"{edge.matched:,}", lost, ""
            )
        captions = [f"{self.users:,} users, {self.items:,} items, {self.events:,} events"]
        if self.merged_ids:
            captions.append(f"{self.merged_ids:,} user ids merged into another")
        table.caption = "\n".join([*captions, *self.notes])
        return table


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 2) if whole else 0.0
