"""``quintet data``: look at a data set, audit it, convert it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, facts, grid, say, show
from quintet.cli.opening import encode_clean, open_data, split_by
from quintet.cli.options import (
    Data,
    DataSettings,
    Items,
    Output,
    Protocol,
    RelationsFile,
    Users,
    examples,
)

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset

app = typer.Typer(help="Look at a data set, audit it, convert it.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "quintet data describe events.csv --items products.csv",
        "quintet data describe market --data n_users=200 --format json",
    )
)
def describe(
    data: Data,
    settings: DataSettings = None,
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what a data set holds and what matched when it was joined."""
    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    found = _measure(dataset)
    rows = [{"measure": name, "value": value} for name, value in found.items()]
    report, columns = dataset.report.to_dict(), _columns(dataset)
    everything = {"name": dataset.name, **found, "join": report, "columns": columns}
    if output is Format.TABLE:
        known = facts(dataset.name, {name: _grouped(value) for name, value in found.items()})
        show(known, dataset.report, *([grid("attributes", columns)] if columns else []))
    else:
        emit(output, rows, data=everything)


def _measure(dataset: Dataset) -> dict[str, Any]:
    from quintet.data import engine

    log, report = dataset.log, dataset.report
    table = log.table
    most = table.group_by("user_id").aggregate(n=table.count())
    numbers = engine.fetch(most.aggregate(median=most.n.median(), most=most.n.max())).to_pylist()[0]
    found: dict[str, Any] = {
        "events": len(log),
        "users": report.users,
        "items": report.items,
        "density": len(log) / max(report.users * report.items, 1),
        "events of the median user": round(numbers["median"]),
        "events of the busiest user": numbers["most"],
        "behaviours": [behaviour.name for behaviour in dataset.schema.behaviours],
        "scenarios": dataset.schema.scenario_names,
    }
    if "timestamp" in log.columns:
        ends = engine.fetch(table.aggregate(a=table.timestamp.min(), b=table.timestamp.max()))
        first, last = ends.to_pylist()[0].values()
        found |= {"first event": _moment(first), "last event": _moment(last)}
    return found


def _moment(microseconds: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    if microseconds is None:
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} us since 1970"
    return moment.isoformat(sep=" ", timespec="seconds")


def _grouped(value: Any) -> Any:
    return f"{value:,}" if isinstance(value, int) else value


def _columns(dataset: Dataset) -> list[dict[str, str]]:
    schema = dataset.schema
    return [
        {"table": table, "column": column, "kind": kind}
        for table, kinds in (("items", schema.items), ("users", schema.users))
        for column, kind in kinds.items()
    ]


@app.command(
    epilog=examples(
        "quintet data audit events.csv",
        "quintet data audit shop.toml --json > audit.json",
    )
)
def audit(
    data: Data,
    settings: DataSettings = None,
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    json: Annotated[
        bool, typer.Option("--json", metavar="", help="Write JSON instead of a table.")
    ] = False,
) -> None:
    """Look for leakage and poor quality before training."""
    from quintet.data.audit import audit as run_audit
    from quintet.train.pipeline import training_tables

    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    encoded = encode_clean(dataset, seed=0)
    split = split_by(encoded, Protocol.LEAVE_ONE_OUT)
    tables, _, _ = training_tables(encoded, split)
    report = run_audit(
        encoded.events,
        split,
        items=tables.items,
        users=tables.users,
        user_names=[str(one) for one in encoded.users.values.to_pylist()],
        item_names=[str(one) for one in encoded.items.values.to_pylist()],
        behaviours=encoded.behaviours,
    )
    emit(Format.JSON if json else Format.TABLE, [], table=report, data=report.to_dict())


@app.command(
    epilog=examples(
        "quintet data convert events.csv events.parquet",
        "quintet data convert events.csv shop/ --items products.csv",
    )
)
def convert(
    data: Data,
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .parquet file for the log, else a folder.")
    ],
    settings: DataSettings = None,
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
) -> None:
    """Write a data set as Parquet with canonical column names; a folder can be opened again."""
    from quintet.cli.convert import write_folder, write_frame
    from quintet.data import rejects

    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    if target.suffix.lower() == ".parquet":
        written = [write_frame(dataset.log, target)]
        left = [name for name in dataset.frames() if name != "log"]
        if left:
            say(f"only the log was written; give a folder to keep {', '.join(left)}")
    else:
        written = write_folder(dataset, target)
    for frame in dataset.frames().values():
        for table, refused in rejects.described(frame.rejects).items():
            say(f"left out of {table}: {refused}")
    for path in written:
        typer.echo(path)
    if target.suffix.lower() != ".parquet":
        say(f"next: quintet data describe {target}")


@app.command(epilog=examples("quintet data sources"))
def sources(output: Output = Format.TABLE) -> None:
    """List the data sources that can be named instead of a file."""
    from quintet.data.sources.base import SOURCES

    rows = [
        {
            "name": name,
            "what": source.summary,
            "settings": list(source.Config.model_fields),
        }
        for name, source in SOURCES.parts.items()
    ]
    emit(output, rows)
