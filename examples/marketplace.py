"""The model that the examples share: a small simulated marketplace, trained once and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import quintet

FOLDER = Path(os.environ.get("QUINTET_EXAMPLES", ".examples"))
SIZE = ["n_users=200", "n_items=150", "events_per_user=25"]


def model() -> quintet.Quintet:
    """The bundle in ``FOLDER``; trained first where there is none (some seconds)."""
    if not (FOLDER / "manifest.json").exists():
        shop = quintet.open_dataset("market", SIZE)
        quintet.Quintet(loop={"epochs": 3}, model={"width": 32}).fit(shop).save(FOLDER)
    return quintet.load(FOLDER)


def busiest(trained: quintet.Quintet, behaviour: str = "view", scenario: str | None = None) -> Any:
    """The id of the person with most events of a behaviour (in one scenario)."""
    own = trained.recommender.trained
    events, shape = own.events, own.model.shape
    chosen = events.behaviour == shape.behaviours.index(behaviour)
    if scenario is not None:
        chosen &= events.scenario == shape.scenarios.index(scenario)
    counts = np.bincount(events.group()[chosen], minlength=events.n_users)
    return own.users.ids([int(counts.argmax())])[0]


def show(
    title: str, trained: quintet.Quintet, items: list[Any], notes: list[str] | None = None
) -> None:
    """Print a list: rank, title, kind, price, and a note an item."""
    print(f"\n{title}")
    described = trained.recommender.describe(items)
    for rank, one in enumerate(described, 1):
        price = "" if one["price"] is None else f"{one['price']:8.2f}"
        note = notes[rank - 1] if notes else ""
        print(f"  {rank:2} {one['title']:34.34} {one['kind']:8}{price:>9}  {note}".rstrip())
