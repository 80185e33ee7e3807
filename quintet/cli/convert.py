"""Data sets written as Parquet: one log, or a folder that opens again as the same data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset
    from quintet.data.frames import Frame


def write_frame(frame: Frame, path: Path) -> Path:
    """Write a frame's rows in order, whole or not at all; times become timestamps in UTC."""
    from quintet.data import engine
    from quintet.data.columns import ORDER
    from quintet.files import atomic_path

    table = frame.table
    columns = [
        _as_timestamp(name) if name == "timestamp" else engine.identifier(name)
        for name in frame.columns
    ]
    inner = engine.to_sql(table)
    select = f"SELECT {', '.join(columns)} FROM ({inner}) ORDER BY {engine.identifier(ORDER)}"  # noqa: S608
    with atomic_path(path) as temporary:
        # the engine writes by itself: the log need not fit in Python's memory
        engine.execute(f"COPY ({select}) TO {engine.quote(str(temporary))} (FORMAT parquet)")
    return path


def _as_timestamp(name: str) -> str:
    return f"make_timestamptz({name}) AS {name}"


def write_folder(dataset: Dataset, folder: Path) -> list[Path]:
    """Write every frame and the TOML file that opens them again."""
    from quintet.data.sources.base import DATA_TOML
    from quintet.files import write_text_atomic

    names = {"log": "events", "items": "items", "users": "users", "relations": "relations"}
    written = [
        write_frame(frame, folder / f"{names[kind]}.parquet")
        for kind, frame in dataset.frames().items()
    ]
    return [*written, write_text_atomic(folder / DATA_TOML, _toml(dataset))]


def _toml(dataset: Dataset) -> str:
    frames, schema = dataset.frames(), dataset.schema
    lines = [f"name = {_value(dataset.name)}", 'logs = ["events.parquet"]']
    if "relations" in frames:
        lines.append('relations = ["relations.parquet"]')
    for kind in ("items", "users"):
        if kind in frames:
            types = {n: k for n, k in getattr(schema, kind).items() if n in frames[kind].columns}
            lines += ["", f"[{kind}]", f'path = "{kind}.parquet"']
            lines += ["", f"[{kind}.types]"] if types else []
            lines += [f"{_value(name)} = {_value(what)}" for name, what in types.items()]
    for behaviour in schema.behaviours:
        given = behaviour.model_dump(mode="json", exclude_none=True)
        lines += ["", "[[behaviours]]", *(f"{name} = {_value(v)}" for name, v in given.items())]
    for scenario in schema.scenarios:
        lines += ["", "[[scenarios]]", f"name = {_value(scenario.name)}"]
        lines += ["[scenarios.offers]"] if scenario.offers else []
        lines += [f"{_value(column)} = {_value(v)}" for column, v in scenario.offers.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Text, numbers, booleans and lists of them are written alike in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False)
