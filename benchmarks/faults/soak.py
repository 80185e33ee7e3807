"""Five minutes of everything at once: does it grow?"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.faults.process import Serving
from benchmarks.faults.scene import Scene
from benchmarks.faults.swaps import Askers, retitle, shelved
from benchmarks.faults.tally import Tally

SECONDS, WARM, GROWTH = 300.0, 60.0, 0.02


def soak(scene: Scene) -> Tally:
    """Lists, events and swaps for 5 minutes: memory grows by 2 % at most after the first."""
    tally = Tally("5-minute soak with swaps, growth <= 2 %")
    shelf = shelved(scene, "a", "b")
    retitle(shelf / "b", "another training of the same films")
    users, items = (scene.models.films.ids(what) for what in ("users", "items"))
    memory: list[tuple[float, float]] = []
    with (
        Serving(shelf / "a", scene.folder / "state", "--quiet") as server,
        Askers(server, users) as askers,
    ):
        started, number = time.monotonic(), 0
        while (now := time.monotonic() - started) < SECONDS * scene.scale:
            number += 1
            failed = askers.failed
            swap = server.http.post("/v1/model", json={"name": "ba"[number % 2]})
            event = {"user_id": users[number % len(users)], "item_id": scene.chance.choice(items)}
            sent = server.http.post("/v1/events", json={"events": [event] * 1})
            good = swap.status_code == sent.status_code == 200
            tally.count(askers.failed - failed, ok=good)
            memory.append((now, server.memory()))
            time.sleep(2.0)
    early = [mb for at, mb in memory if WARM <= at / scene.scale < 2 * WARM]
    late = [mb for at, mb in memory if at / scene.scale >= SECONDS - WARM]
    growth = float(np.median(late) / np.median(early) - 1) if early and late else 0.0
    tally.count(ok=growth <= GROWTH, trouble="it grows")
    tally.notes.append(
        f"{askers.answered:,} answers, {number} swaps, {np.median(late or [0]):.0f} MB, "
        f"growth {growth:+.1%}"
    )
    return tally
