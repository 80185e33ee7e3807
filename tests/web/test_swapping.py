"""Another bundle goes live with nobody noticing; one that cannot serve never does."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from quintet.bundle import _digest
from quintet.data.vocab import Vocabulary
from quintet.errors import BundleError
from quintet.web import live as live_module
from quintet.web.experiments import Experiments
from quintet.web.models import ExperimentIn
from tests.web.running import Running, wait_for


@pytest.fixture
def server(bundle, tmp_path):
    shelf = tmp_path / "shelf"
    shutil.copytree(bundle, shelf / "one")
    shutil.copytree(bundle, shelf / "two")
    altered(shelf / "two", run=lambda run: run["run"].update(note="another"))
    with Running(shelf / "one", tmp_path / "state") as running:
        yield running


def altered(folder: Path, run=None, arrays=None, name: str = "weights") -> None:
    """Change a bundle as somebody would who can also write the manifest."""
    if run is not None:
        values = json.loads((folder / "run.json").read_text())
        run(values)
        (folder / "run.json").write_text(json.dumps(values))
    if arrays is not None:
        held = load_file(folder / f"{name}.safetensors")
        arrays(held)
        save_file(held, folder / f"{name}.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest = {one: _digest(folder / one) for one in manifest}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_swaps_under_load_fail_no_request(server) -> None:
    users = server.ids("users")
    stop, status, models = threading.Event(), [], set()

    def ask(seed: int) -> None:
        import httpx

        with httpx.Client(base_url=server.url, timeout=30) as client:
            rng = np.random.default_rng(seed)
            while not stop.is_set():
                user = users[rng.integers(len(users))]
                answer = client.post("/v1/recommend", json={"user_id": user, "k": 3})
                status.append(answer.status_code)
                models.add(answer.json().get("model"))

    clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for client in clients:
        client.start()
    for turn in range(6):
        name = ("two", "one")[turn % 2]
        assert server.post("/v1/model", {"name": name})["bundle"] == name
    stop.set()
    for client in clients:
        client.join()
    assert set(status) == {200}
    assert len(status) >= 6
    assert len(models) == 2


def nan(start: str):
    """Puts not-a-number into the first array of numbers whose name starts so."""

    def put(arrays) -> None:
        key = next(k for k in arrays if k.startswith(start) and arrays[k].dtype.kind == "f")
        arrays[key] = np.full_like(arrays[key], np.nan)

    return put


def narrower(arrays) -> None:
    arrays["model.bias_I"] = arrays["model.bias_I"][:-1]


BAD = {
    "truncated": lambda f: (f / "weights.safetensors").write_bytes(b"short"),
    "missing file": lambda f: (f / "items.parquet").unlink(),
    "no manifest": lambda f: (f / "manifest.json").unlink(),
    "not json": lambda f: (f / "run.json").write_text("{"),
    "flipped bit": lambda f: _flip(f / "memories.safetensors"),
    "nan weight": lambda f: altered(f, arrays=nan("model.bias_I")),
    "nan memory": lambda f: altered(f, arrays=nan("transitions."), name="memories"),
    "nan counts": lambda f: altered(f, arrays=nan("count"), name="features"),
    "nan fusion": lambda f: altered(f, arrays=nan("fusion.strength_K")),
    "narrower": lambda f: altered(f, arrays=narrower),
    "newer": lambda f: altered(f, run=lambda run: run.update(schema_version=99)),
    "unknown setting": lambda f: altered(f, run=lambda run: run["model"].update(wings=2)),
    "pickled": lambda f: (f / "weights.safetensors").write_bytes(b"\x80\x04cos\nsystem\n."),
}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_bad_bundles_are_refused_while_the_old_one_serves(server, fitted) -> None:
    shelf = server.bundle.parent
    before = server.items_for("u1", k=5)
    for number, (kind, spoil) in enumerate(BAD.items()):
        folder = shelf / f"bad-{number}"
        shutil.copytree(shelf / "two", folder)
        spoil(folder)
        answer = server.http.post("/v1/model", json={"name": folder.name})
        assert answer.status_code == 422, kind
        assert "refused" in answer.json()["detail"], kind
        assert str(shelf) not in answer.text
    trained = server.service.holder.live.base
    others = Vocabulary.from_arrow([f"other-{n}" for n in range(len(trained.items))])
    replace(trained, items=others).save(shelf / "foreign")
    answer = server.http.post("/v1/model", json={"name": "foreign"})
    assert "another catalogue" in answer.json()["detail"]
    assert server.get("/v1/model")["bundle"] == "one"
    assert server.items_for("u1", k=5) == before


def test_back_to_the_one_before_with_new_items_kept(server) -> None:
    server.post("/v1/items", {"item_id": "fresh", "attributes": {"title": "tea"}})
    first = server.get("/v1/model")["model"]
    assert server.http.post("/v1/model", json={"rollback": True}).status_code == 422
    second = server.post("/v1/model", {"name": "two"})
    assert second["previous"] == first != second["model"]
    assert "fresh" in server.items_for("u1", k=60)
    assert server.post("/v1/model", {"rollback": True})["model"] == first
    assert "fresh" in server.items_for("u1", k=60)
    offered = [entry.record.model for entry in server.service.journal.read(kinds=("deployment",))]
    assert offered == [first, second["model"], first]


def test_a_worker_follows_what_another_swapped_in(server) -> None:
    """Another process of the machine writes the same file."""
    from quintet.web.live import load_live

    version = load_live(server.bundle.parent / "two").version
    (server.state / "active.json").write_text(json.dumps({"bundle": "two", "version": version}))
    wait_for(lambda: server.service.holder.live.version == version)
    assert server.post("/v1/recommend", {"user_id": "u1"})["model"] == version


def test_an_item_that_came_while_a_bundle_was_loaded_stays(server) -> None:
    from quintet.web.swapping import Swapper

    made = server.service.holder.candidate(server.bundle.parent / "two")
    server.post("/v1/items", {"item_id": "fresh", "attributes": {"title": "tea"}})
    Swapper(server.service)._take(made)
    assert server.service.holder.live.version == made.version
    assert server.http.get("/v1/items/fresh").status_code == 200


def test_a_folder_that_holds_another_version_by_now_is_loaded_once(server) -> None:
    live = server.service.holder.live.version
    (server.state / "active.json").write_text(json.dumps({"bundle": "gone", "version": "x"}))
    wait_for(lambda: "model" in server.service.problems)
    (server.state / "active.json").write_text(json.dumps({"bundle": "two", "version": "x"}))
    wait_for(lambda: server.service.holder.live.version != live)
    assert "model" not in server.service.problems
    time.sleep(3)
    offered = list(server.service.journal.read(kinds=("deployment",)))
    assert len(offered) == 2, "the first, and the one that was followed"


def test_an_arm_whose_rules_are_not_there_is_refused(server) -> None:
    arms = [{"name": "control"}, {"name": "ruled", "rules": "nowhere"}]
    answer = server.http.post("/v1/experiments", json={"name": "ruled", "arms": arms})
    assert answer.status_code == 422
    assert "no rule set of this name" in answer.json()["detail"]
    for user in server.ids("users")[:8]:
        assert server.post("/v1/recommend", {"user_id": user, "k": 2})["arms"] == {}
    ended = {"name": "ruled", "arms": arms, "active": False}  # its rules may be gone by then
    assert server.post("/v1/experiments", ended)["experiments"][-1]["active"] is False


def test_experiments_split_people_for_good(server) -> None:
    arms = [
        {"name": "control"},
        {"name": "draw", "exploration": 1.0},
        {"name": "new", "model": "two"},
    ]
    server.post("/v1/experiments", {"name": "trial", "arms": arms})
    found: dict[str, list[dict]] = {}
    for user in server.ids("users"):
        answers = [server.post("/v1/recommend", {"user_id": user, "k": 2}) for _ in range(2)]
        assert answers[0]["arms"] == answers[1]["arms"]
        found.setdefault(answers[0]["arms"]["trial"], []).append(answers[0])
    assert {len(found[arm["name"]]) > 8 for arm in arms} == {True}  # 20 each expected of 60
    live = server.service.holder.live.version
    assert {one["model"] for one in found["control"]} == {live}
    assert {one["policy"] for one in found["draw"]} == {"plackett-luce:1"}
    assert live not in {one["model"] for one in found["new"]}
    logged = [e.record.arms for e in server.service.journal.read(kinds=("exposure",))]
    assert {one["trial"] for one in logged} == {"control", "draw", "new"}
    moved = {"name": "trial", "arms": arms[:2]}
    assert "stay" in server.http.post("/v1/experiments", json=moved).json()["detail"]
    ended = {"name": "trial", "arms": arms, "active": False}
    assert server.post("/v1/experiments", ended)["experiments"][0]["active"] is False
    assert server.post("/v1/recommend", {"user_id": "u1"})["arms"] == {}


def test_two_workers_put_experiments_without_losing_one(tmp_path) -> None:
    path, arms = tmp_path / "experiments.json", [{"name": "a"}, {"name": "b"}]
    one, other = Experiments(path), Experiments(path)
    one.put(ExperimentIn.model_validate({"name": "first", "arms": arms}))
    other.put(ExperimentIn.model_validate({"name": "second", "arms": arms}))
    held = json.loads(path.read_text())["experiments"]
    assert [one["name"] for one in held] == ["first", "second"]


@pytest.mark.parametrize("item", ["x" * 513, "a\x00b"])
def test_a_catalogue_whose_ids_no_journal_can_hold_is_not_served(item) -> None:
    trained = SimpleNamespace(items=Vocabulary.from_arrow(["fine", item]))
    with pytest.raises(BundleError, match="cannot be served: item"):
        live_module._check_ids(trained, Path("bundle"))
    live_module._check_ids(
        SimpleNamespace(items=Vocabulary.from_arrow(["fine", "鞋"])), Path("bundle")
    )
