"""Counts made anew from what happened since: of every memory that counts events."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from quintet.data.dataset import join
from quintet.data.encode import encode
from quintet.data.frames import Catalogue, EventLog
from quintet.data.interactions import Interactions
from quintet.data.split import leave_one_out
from quintet.serve.recounted import joined, recounted
from quintet.store import Event
from quintet.train.pipeline import TrainConfig, train
from quintet.web.people import person


def test_all_but_what_reads_attributes_is_counted_anew() -> None:
    """Repeats count events too, though they score an item that nobody met."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(40), 8), rng.integers(0, 10, 320)
    log = pa.table({"user_id": user, "item_id": item})
    items = pa.table({"item_id": np.arange(12), "title": [f"thing{n % 5} red" for n in range(12)]})
    encoded = encode(join(EventLog.read(log), Catalogue.read(items)))
    settings = {
        "model": {"width": 8, "off": ["profile", "strategy"]},
        "loop": {"epochs": 1},
        "memories": {"transitions": {}, "repeat": {}, "content_neighbours": {}},
    }
    split = leave_one_out(encoded.events)
    trained = train(encoded, split, TrainConfig.model_validate(settings)).trained
    unmet = int(encoded.items.rows([11])[0])  # until everybody takes it again and again
    events = Interactions.build(
        np.repeat(np.arange(40), 6), np.full(240, unmet), n_users=40, n_items=12
    )
    again = recounted(trained, events)
    for name in ("transitions", "repeat"):
        fresh = trained.memories[name].fresh().fit(events)
        got, expected = (one.score(events.users([0])) for one in (again.memories[name], fresh))
        np.testing.assert_array_equal(got, expected)
    assert again.memories["repeat"].score(events.users([0]))[0, unmet] > 0
    assert again.memories["content_neighbours"] is trained.memories["content_neighbours"]


def test_an_event_that_names_no_behaviour_is_no_purchase() -> None:
    """It is read as training reads it: of no behaviour and scenario of its own."""
    rng = np.random.default_rng(0)
    behaviour = np.array(["buy", "view", None], object)[rng.integers(0, 3, 320)]
    scenario = np.array(["push", None], object)[rng.integers(0, 2, 320)]
    log = pa.table(
        {
            "user_id": np.repeat(np.arange(40), 8),
            "item_id": rng.integers(0, 10, 320),
            "behaviour": behaviour,
            "scenario": scenario,
        }
    )
    encoded = encode(join(EventLog.read(log)))
    settings = {"model": {"width": 8}, "loop": {"epochs": 1}, "memories": {"transitions": {}}}
    split = leave_one_out(encoded.events)
    trained = train(encoded, split, TrainConfig.model_validate(settings)).trained
    shape = trained.model.shape
    silent = Event(event_id="e", item_id=int(log["item_id"][0].as_py()), timestamp=7, user_id=0)
    events, _ = joined(trained, [silent], np.array([0]), 40)
    newest = events.users([0])
    assert shape.behaviours[newest.behaviour[-1]] == "interaction"
    assert shape.scenarios[newest.scenario[-1]] == "default"
    one = person(trained, 0, [silent])
    assert shape.behaviours[one.behaviour[-1]] == "interaction"
    assert shape.scenarios[one.scenario[-1]] == "default"
