"""What people are told survives the loss of a machine; what they had erased does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.faults.process import Serving, command
from benchmarks.faults.scene import Scene
from benchmarks.faults.tally import Tally

#: of an answer: all but the request's own id and the offset, which grows with every exposure
TOLD = ("model", "basis", "fallback", "policy", "items")


def restored(scene: Scene) -> Tally:
    """Backup, wipe, restore: 1,000 users with new events get the answers that they got before."""
    tally = Tally("backup, wipe, restore: the same answers")
    model, state = scene.models.market, scene.folder / "state"
    backup, keys = scene.folder / "backup", scene.folder / "safe" / "keys.bin"
    users, items = model.ids("users"), model.ids("items")
    people = [*users[: scene.rounds(800)], *(f"new-{n}" for n in range(scene.rounds(200)))]
    # counts that follow the journal would change answers between two looks
    options = ["--quiet", "--recount", 0]
    with Serving(model.bundle, state, *options) as server:
        for first in range(0, len(people), 100):
            page = people[first : first + 100]
            events = [
                {"user_id": user, "item_id": scene.chance.choice(items)}
                for user in page
                for _ in range(3)
            ]
            server.post("/v1/events", {"events": events})
        before = [told(server, user) for user in people]
    command("journal", "backup", state / "journal", "--folder", backup, "--keys", keys)
    shutil.rmtree(state)
    command("journal", "restore", state / "journal", "--folder", backup, "--keys", keys)
    with Serving(model.bundle, state, *options) as server:
        for user, expected in zip(people, before, strict=True):
            same = told(server, user) == expected
            tally.count(lost=not same)
    personal = sum(one["basis"] == "personal" for one in before)
    tally.notes.append(f"{personal:,} of them personal")
    return tally


def told(server: Serving, user: Any) -> dict[str, Any]:
    """What a user is told, without chance."""
    answer = server.post("/v1/recommend", {"user_id": user, "k": 10})
    return {name: answer[name] for name in TOLD}


def erased(scene: Scene) -> Tally:
    """50 users with events, edits, lists and a backup are erased: no byte of their ids is left."""
    tally = Tally("erased users: bytes of them in any file")
    model, state = scene.models.films, scene.folder / "state"
    items = [str(one) for one in model.ids("items")]
    users = [f"erase-{scene.chance.randbytes(8).hex()}" for _ in range(scene.rounds(50))]
    keys = scene.folder / "safe" / "keys.bin"
    with Serving(model.bundle, state, "--backup-keys", keys) as server:
        for user in users:
            events = [{"user_id": user, "item_id": scene.chance.choice(items)} for _ in range(5)]
            server.post("/v1/events", {"events": events})
            server.http.patch(f"/v1/profile/{user}", json={"mute_items": {items[0]: True}})
            assert told(server, user)["basis"] == "personal"
        server.http.post("/v1/backups", json={}).raise_for_status()
        receipts = [server.http.delete(f"/v1/users/{user}").json() for user in users]
        after = [told(server, user)["basis"] for user in users]
        known = [
            server.http.get(f"/v1/profile/{user}?export=true").status_code == 200 for user in users
        ]
    found = contents(scene.folder)
    for user, receipt, basis, still_known in zip(users, receipts, after, known, strict=True):
        # the request for the list after the erasure is a new owner's exposure, sealed as all are
        good = basis == "popular" and not still_known and receipt["records"] >= 7
        good = good and not receipt["unreached"]
        tally.count(found.count(user.encode()), ok=good, trouble=f"{basis}, {receipt}")
    tally.notes.append(f"{len(found) / 1e6:.1f} MB of journal, keys, backup and log searched")
    return tally


def contents(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"\x00".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
