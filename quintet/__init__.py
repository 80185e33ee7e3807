"""quintet: one recommendation model, trained once on event logs, that plays five parts.

It profiles the user, represents the item, predicts the interaction, ranks the candidates and
chooses the strategy of the slate::

    import quintet

    model = quintet.Quintet().fit("events.csv", items="items.csv")
    model.recommend(["alice"], k=10, reasons=True)
    model.save("bundle")

Names are imported when they are first used, so that ``import quintet`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quintet.data.frames import Catalogue, EventLog, Relations, Users
    from quintet.data.sources.base import open_dataset
    from quintet.estimator import Quintet, load, pretrain

_PUBLIC = {
    "Quintet": "quintet.estimator",
    "EventLog": "quintet.data.frames",
    "Catalogue": "quintet.data.frames",
    "Users": "quintet.data.frames",
    "Relations": "quintet.data.frames",
    "open_dataset": "quintet.data.sources.base",
    "load": "quintet.estimator",
    "pretrain": "quintet.estimator",
}

__all__ = [
    "Catalogue",
    "EventLog",
    "Quintet",
    "Relations",
    "Users",
    "load",
    "open_dataset",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'quintet' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value
