"""A model whose counts take in what happened since it was trained, while all weights stay.

Evidence is free of scale, so that gates fitted on old counts still hold on new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quintet.data.interactions import Interactions, Ints, Mask
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer
from quintet.serve.trained import EVENT_COLUMNS, Trained
from quintet.store import Event


def recounted(trained: Trained, events: Interactions) -> Trained:
    """The model with memories and counts of ``events``; ``trained`` is left as it is.

    Memories that read attributes are kept: they change with the catalogue, not with events.
    """
    memories = {
        name: memory
        if memory.reads_attributes
        else memory.fresh().fit(events, trained.item_features)
        for name, memory in trained.memories.items()
    }
    count_I = events.item_counts().astype(np.float32)
    made = replace(trained, memories=memories, count_I=count_I)
    old = trained.scorer.evidence
    evidence = EvidenceBuilder(
        trained.model, memories, old.item_inputs, old.user_inputs, count_I, old.left_out
    )
    made.__dict__["item_features"] = trained.item_features
    made.__dict__["user_features"] = trained.user_features
    made.__dict__["scorer"] = Scorer(evidence, trained.fusion, trained.calibration)
    return made


def joined(
    trained: Trained, events: Sequence[Event], user_E: Ints, n_users: int
) -> tuple[Interactions, Mask]:
    """Histories with newer events in their places.

    Args:
        trained: whose histories they are; events on items or of behaviours that it does not know
            are left out.
        events: E of them, in the order of the journal.
        user_E: [E] row of each; -1 to leave it out. Rows from ``len(trained.users)`` on are new.
        n_users: rows in all.

    Returns:
        The histories, and [n_users] which of them grew.
    """
    shape, old = trained.model.shape, trained.events
    behaviours = {name: index for index, name in enumerate(shape.behaviours)}
    scenarios = {name: index for index, name in enumerate(shape.scenarios)}
    item_E = trained.items.rows([one.item_id for one in events])
    known = [one.behaviour is None or one.behaviour in behaviours for one in events]
    keep_E = (user_E >= 0) & (item_E >= 0) & np.array(known, np.bool_)
    timeless = len(old) > 0 and not old.time.any()  # then order is all there is
    silent = shape.silent
    behaviour = [behaviours.get(one.behaviour or "", silent["behaviour"]) for one in events]
    scenario = [scenarios.get(one.scenario or "", silent["scenario"]) for one in events]
    value = [shape.rating_of(one.behaviour, one.value) for one in events]
    new: dict[str, Any] = {
        "user": user_E,
        "item": item_E,
        "time": np.array([0 if timeless else one.timestamp for one in events], np.int64),
        "behaviour": np.array(behaviour, np.int64),
        "scenario": np.array(scenario, np.int64),
        "value": np.array(value, np.float32),
    }
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(old, name), new[name][keep_E]]) for name in EVENT_COLUMNS
    }
    user, item = columns.pop("user"), columns.pop("item")
    made = Interactions.build(
        user, item, n_users=n_users, n_items=len(trained.items), keep_order=True, **columns
    )
    changed_U = np.zeros(n_users, np.bool_)
    changed_U[user_E[keep_E]] = True
    return made, changed_U
