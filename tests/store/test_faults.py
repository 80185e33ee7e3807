"""A short run of the faults: real processes killed, disks that refuse, servers that die."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults import durability
from benchmarks.faults.servers import RedisServer
from benchmarks.faults.tally import Tally

CHANCE = random.Random(7)
RUNS: dict[str, Callable[[Path], Tally]] = {
    "kill": lambda folder: durability.kills(folder, 2, CHANCE),
    "flush": lambda folder: durability.faults(folder, 1, "s", "flushes refused", 2),
    "short": lambda folder: durability.faults(folder, 1, "h", "writes cut short", 3),
    "truncate": lambda folder: durability.truncations(folder, 3, CHANCE),
    "wipe": lambda folder: durability.wipe(folder, 1),
    "erase": lambda folder: durability.erasures(folder, 3),
    "redis": lambda folder: durability.server_kills(RedisServer, "Redis", 1, CHANCE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_nothing_acknowledged_is_lost(name: str, tmp_path: Path) -> None:
    tally = RUNS[name](tmp_path)
    if tally.not_run:
        pytest.skip(tally.not_run)
    assert tally.passed, tally.line()


def test_a_tally_counts_what_is_missing() -> None:
    tally = Tally("x")
    tally.count()
    tally.count(2)
    tally.count(ok=False, trouble="broken")
    assert (tally.tried, tally.survived, tally.lost) == (3, 1, 2)
    assert not tally.passed
    assert tally.line() == "x: tried 3, survived 1, lost 2 (broken)"
    assert not Tally("z").passed


def test_what_did_not_run_has_not_passed() -> None:
    tally = Tally("y", not_run="no cc")
    assert tally.line() == "y: not run (no cc)"
    assert not tally.passed
