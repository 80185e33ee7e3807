"""The journal: what people did and were shown, durable before it is acknowledged, and erasable.

Start at :mod:`quintet.store.base` (:class:`Journal`, :func:`open_store`) and
:mod:`quintet.store.records`. Counts that follow it are in :mod:`quintet.store.online_counts`.
"""

from quintet.store.base import (
    Appended,
    Entry,
    Journal,
    Outcome,
    Receipt,
    Verified,
    open_standing,
    open_store,
)
from quintet.store.records import (
    Deployment,
    Erasure,
    Event,
    Exposure,
    ItemUpsert,
    Owner,
    ProfileEdit,
    Record,
)

__all__ = [
    "Appended",
    "Deployment",
    "Entry",
    "Erasure",
    "Event",
    "Exposure",
    "ItemUpsert",
    "Journal",
    "Outcome",
    "Owner",
    "ProfileEdit",
    "Receipt",
    "Record",
    "Verified",
    "open_standing",
    "open_store",
]
