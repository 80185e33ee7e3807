"""The models that the faults are tried on: a real log, and a market with many items."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

#: faults do not ask how good a list is, so one epoch is enough
QUICK: dict[str, Any] = {
    "model": {"width": 32, "towers": ["identity"]},
    "loop": {"epochs": 1},
    "memories": {name: {} for name in ("transitions", "item_cosine", "last_item", "trend")},
}
MARKET = ["n_users=1500", "n_items=12000", "events_per_user=10"]


@dataclass(frozen=True)
class Model:
    """A bundle, and the ids in it."""

    bundle: Path

    def ids(self, what: str) -> list[Any]:
        """Ids of "users" or "items"."""
        found: list[Any] = pq.read_table(self.bundle / f"{what}.parquet")["__id"].to_pylist()
        return found


@dataclass(frozen=True)
class Models:
    """Both of them: ``films`` of MovieLens-100K, ``market`` with 12,000 items."""

    films: Model
    market: Model


def trained(folder: Path) -> Models:
    """The models in ``folder``; trained where they are missing."""
    import quintet

    made = {}
    for name, spec, settings in (("films", "ml-100k", []), ("market", "market", MARKET)):
        bundle = folder / name
        if not bundle.is_dir():
            data = quintet.open_dataset(spec, settings)
            quintet.Quintet(**QUICK).fit(data).save(bundle)
        made[name] = Model(bundle)
    return Models(**made)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    trained(parser.parse_args().folder)
