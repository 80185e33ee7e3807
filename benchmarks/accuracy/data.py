"""Data sets of the benchmark: by name from a folder, or any file of sequences."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.session_data import read_sessions
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.sources.base import open_dataset
from quintet.data.split import Split, leave_one_out
from quintet.errors import DataError

FOLDER = "QUINTET_DATA"
SESSIONS = ("retailrocket_cotrec_train_sessions.txt", "retailrocket_cotrec_test_prefix_label.txt")


@dataclass(frozen=True)
class Asked:
    """Which data to read.

    Attributes:
        dataset: a name or a path.
        items: table of the catalogue, if it is not found by name.
        folder: where named data sets lie.
        leave_out: columns of the catalogue that are not read.
        tie_column: column by which events of one day were sorted, see :func:`shuffle_runs`.
        tie_seed: of the shuffle; none without it.
    """

    dataset: str
    items: Path | None = None
    folder: Path = Path(os.environ.get(FOLDER, "data"))
    leave_out: tuple[str, ...] = ()
    tie_column: str = "asin"
    tie_seed: int | None = None


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that say where a data set and its catalogue lie."""
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder of names ({FOLDER})"
    )


def read(asked: Asked) -> tuple[Encoded, Split]:
    """The data set and its split.

    ``ml-100k`` is fetched; ``retailrocket``, ``beauty`` and other names are folders under
    ``asked.folder``; anything else is a file with one user a line, ``user item item ...``.

    Raises:
        DataError: there is no such file, or a line does not name a user and items.
    """
    if asked.tie_seed is not None and asked.dataset in ("ml-100k", "retailrocket"):
        raise DataError(
            f"{asked.dataset}: its events are not sorted by a key; leave --tie-seed out"
        )
    if asked.dataset == "ml-100k":
        encoded = encode(open_dataset("ml-100k"))
        return encoded, leave_one_out(encoded.events)
    named = asked.folder / asked.dataset
    if named.is_dir() and (named / SESSIONS[0]).exists():
        return read_sessions(named / SESSIONS[0], named / SESSIONS[1])
    sequences = named / "sequences.txt" if named.is_dir() else Path(asked.dataset)
    items = asked.items
    if items is None and (named / "items.tsv").is_file():
        items = named / "items.tsv"
    if not sequences.is_file():
        raise DataError(
            f"no data set {asked.dataset!r}: give a file with `user item item ...` a line, or a "
            f"name of a folder in {asked.folder} (--data or {FOLDER} names another)"
        )
    users, histories = read_sequences(sequences)
    catalogue = Catalogue.read(items) if items is not None else None
    if catalogue is not None and asked.leave_out:
        kept = [name for name in catalogue.columns if name not in asked.leave_out]
        catalogue = Catalogue.read(catalogue.to_arrow().select(kept))
    if asked.tie_seed is not None:
        histories = shuffled(histories, items, asked.tie_column, asked.tie_seed)
    log = pa.table(
        {
            "user_id": [user for user, own in zip(users, histories, strict=True) for _ in own],
            "item_id": [item for own in histories for item in own],
        }
    )
    name = asked.dataset if named.is_dir() else sequences.stem
    encoded = encode(join(EventLog.read(log), catalogue, name=name))
    return encoded, leave_one_out(encoded.events)


def read_sequences(path: Path) -> tuple[list[str], list[list[str]]]:
    """Users and their items in the order of the file.

    Raises:
        DataError: a line does not name a user and items.
    """
    users, histories = [], []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
        user, *own = line.split() or [""]
        if not own:
            raise DataError(f"{path}:{number}: no user with items; give `user item ...`")
        users.append(user)
        histories.append(own)
    return users, histories


def shuffled(
    histories: list[list[str]], items: Path | None, column: str, seed: int
) -> list[list[str]]:
    """The histories with every run of ascending keys in another order.

    Raises:
        DataError: there is no catalogue, or it lacks the column.
    """
    if items is None:
        raise DataError(f"shuffling ties needs the catalogue's column {column!r}: give --items")
    table = Catalogue.read(items).to_arrow()
    if column not in table.column_names:
        raise DataError(f"{items}: no column {column!r}; columns: {', '.join(table.column_names)}")
    keys = zip(table["item_id"].to_pylist(), table[column].to_pylist(), strict=True)
    key_of = {str(item): str(key) for item, key in keys}
    rng = np.random.default_rng(seed)
    return [shuffle_runs(own, [key_of.get(item, "") for item in own], rng) for own in histories]


def shuffle_runs(items: list[str], keys: list[str], rng: np.random.Generator) -> list[str]:
    """Items with every maximal run of ascending keys shuffled.

    Events of one day stand sorted by the key, so a run may be one day: an over-estimate of what
    the order of a day could tell a model.
    """
    out: list[str] = []
    start = 0
    for stop in range(1, len(items) + 1):
        if stop == len(items) or keys[stop] < keys[stop - 1]:
            run = items[start:stop]
            out.extend(run[place] for place in rng.permutation(len(run)))
            start = stop
    return out
