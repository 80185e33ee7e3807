"""``quintet doctor`` for a service that runs, for one that ails, and for none."""

from __future__ import annotations

from benchmarks.faults.servers import free_port
from tests.cli.running import quintet
from tests.web.running import Running, keys_file


def found(*words: object) -> tuple[int, dict[str, dict[str, str]]]:
    run = quintet("doctor", "--format", "json", "--service", *words)
    return run.code, {check["check"]: check for check in run.json}


def test_a_sound_service(running) -> None:
    running.post("/v1/recommend", {"user_id": "u1"})
    code, checks = found(running.url)
    assert code == 0, checks
    assert checks["answers"]["status"] in ("ok", "note")
    assert checks["ready"]["status"] == "ok"
    assert "50 items" in checks["model"]["found"]
    assert checks["exposures"] == {
        "status": "ok", "check": "exposures", "found": "0 of 1 not on disk"
    }  # fmt: skip


def test_one_that_ails(bundle, tmp_path) -> None:
    with Running(bundle, tmp_path / "state") as server:
        server.service.problems["journal"] = "StoreError"
        server.service.metrics.exposures.labels("failed").inc(3)
        code, checks = found(server.url)
        server.service.problems.clear()
    assert code == 1
    assert checks["ready"]["found"] == "journal: StoreError"
    assert checks["exposures"]["status"] == "problem"


def test_without_a_key_it_says_what_it_was_not_told(bundle, tmp_path, monkeypatch) -> None:
    keys = keys_file(tmp_path / "keys.json", all=["read", "admin"])
    with Running(bundle, tmp_path / "state", keys=tmp_path / "keys.json") as server:
        code, checks = found(server.url)
        assert code == 0
        assert "not told without a key" in checks["model"]["found"]
        monkeypatch.setenv("QUINTET_KEY", keys["all"])
        assert "items" in found(server.url)[1]["model"]["found"]


def test_none() -> None:
    code, checks = found(f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "is it running there?" in checks["answers"]["found"]
