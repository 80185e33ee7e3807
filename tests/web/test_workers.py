"""Several workers: one that dies is replaced, and none outlives its supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.faults.process import ENVIRONMENT, QUINTET, Serving, wait_for
from benchmarks.faults.servers import RedisServer, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RedisServer.binary, reason=RedisServer.missing),
]


@pytest.fixture
def server(bundle, tmp_path: Path):
    with (
        running(RedisServer) as store,
        Serving(bundle, tmp_path / "state", "--workers", 2, "--store", store.url) as serving,
    ):
        wait_for(lambda: len(serving.lines("ready")) == 2)
        yield serving


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def children(parent: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}


def forked(supervisor: int) -> set[int]:
    """The workers and the spare: children of the process that the supervisor has fork them."""
    return set().union(*(children(one) for one in children(supervisor)))


def test_one_that_dies_is_replaced_and_the_other_answers(server) -> None:
    first, second = (line["process"] for line in server.lines("ready"))
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(server.lines("ready")) == 3)
    assert server.lines("worker died") == [
        {**server.lines("worker died")[0], "process": first, "code": -signal.SIGKILL}
    ]
    assert not alive(first)
    assert alive(second)
    assert server.post("/v1/recommend", {"user_id": "u1"})["items"]
    assert server.stop() == 0
    assert not any(alive(line["process"]) for line in server.lines("ready"))


def test_a_spare_is_there_before_it_is_needed(server) -> None:
    wait_for(lambda: len(forked(server.process.pid)) == 3, 60)
    waiting = forked(server.process.pid)
    os.kill(server.lines("ready")[0]["process"], signal.SIGKILL)
    wait_for(lambda: len(server.lines("ready")) == 3)
    assert server.lines("ready")[2]["process"] in waiting
    assert server.stop() == 0
    wait_for(lambda: not any(alive(one) for one in waiting), 10)  # what forked them ends after them


def test_workers_end_with_a_supervisor_that_was_killed(server) -> None:
    workers = [line["process"] for line in server.lines("ready")]
    server.kill()
    wait_for(lambda: not any(alive(one) for one in workers), 60)


def test_a_hangup_reaches_all_of_them(server) -> None:
    before = len(server.lines("model live"))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(server.lines("model live")) >= before + 2, 60)
    time.sleep(0.1)
    assert server.post("/v1/recommend", {"user_id": "u1"})["items"]


def test_a_bundle_that_cannot_be_served_ends_it(tmp_path: Path, bundle) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(bundle, spoilt)
    (spoilt / "weights.safetensors").write_bytes(b"spoilt")
    with running(RedisServer) as store:
        words = ["serve", spoilt, "--port", 0, "--state", tmp_path / "state"]
        words += ["--workers", 2, "--store", store.url]
        done = subprocess.run(
            [*QUINTET, *map(str, words)],
            check=False,
            env=ENVIRONMENT,
            capture_output=True,
            timeout=280,
        )
    assert done.returncode == 1
