"""``quintet update``: from a running service's backup to a model that it serves, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quintet.web.service import Settings
from tests.cli.running import done, quintet
from tests.web.running import Running

BAR = ["--held-back", "0.5", "--epochs", "1"]


@pytest.fixture
def served(bundle, tmp_path: Path):
    """A service whose people were shown explored lists, and took what stood first."""
    import shutil

    shelf = tmp_path / "shelf"
    shutil.copytree(bundle, shelf / "one")
    settings = Settings(seed=0, backup_keys=str(tmp_path / "keys.bin"))
    with Running(shelf / "one", tmp_path / "state", settings=settings) as server:
        for number in range(160):
            user = server.ids("users")[number % 60]
            asked = {"user_id": user, "k": 5, "exploration": 1.0, "exclude_seen": False}
            shown = server.post("/v1/recommend", asked)
            taken = {"user_id": user, "item_id": shown["items"][0]["item_id"]}
            server.post("/v1/events", {**taken, "request_id": shown["request_id"]})
        server.post("/v1/backups", {})
        yield server


def words(served, name: str) -> list[object]:
    backup, keys = served.state / "backup", served.state.parent / "keys.bin"
    return [
        served.bundle,
        "--out",
        served.bundle.with_name(name),
        "--backup",
        backup,
        "--keys",
        keys,
    ]


def test_what_passes_is_served_and_can_be_taken_back(served) -> None:
    before = served.get("/v1/model")["model"]
    # at a tolerance of all, only a slice that is surely worse can refuse it
    run = quintet(
        "update", *words(served, "two"), *BAR, "--tolerance", "1", "--into", served.url,
        "--format", "json",
    )  # fmt: skip
    told = json.loads(run.out)
    assert told["update"]["new events"] > 50
    assert told["verdict"]["slices"][0]["name"] == "overall"
    assert (run.code == 0) == told["verdict"]["promoted"]
    if not told["verdict"]["promoted"]:  # then by force, which is asked for by name
        done("update", *words(served, "three"), *BAR, "--force", "--into", served.url)
    live = served.get("/v1/model")
    assert live["bundle"] in ("two", "three")
    assert live["previous"] == before
    assert served.post("/v1/recommend", {"user_id": "u1"})["model"] == live["model"]
    assert served.post("/v1/model", {"rollback": True})["model"] == before


def test_too_little_to_judge_is_refused_and_the_live_one_stays(served) -> None:
    before = served.get("/v1/model")["model"]
    bar = ["--held-back", "0.02", "--epochs", "0"]
    run = quintet("update", *words(served, "two"), *bar, "--into", served.url)
    assert run.code == 1
    assert "too little was explored" in run.err
    assert served.get("/v1/model")["model"] == before
    assert (served.bundle.with_name("two") / "manifest.json").is_file()


def test_a_journal_is_named_once(served) -> None:
    run = quintet("update", *words(served, "two"), "--store", "redis://localhost:1/0")
    assert run.code == 2
    assert "give --store, or --backup" in run.err
