"""A short run of the faults: real processes killed, disks that refuse, servers that die."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults import durability
from benchmarks.faults.servers import RedisServer
from benchmarks.faults.writers import Tally

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
    assert tally.tried == tally.survived > 0, tally.line()
    assert tally.lost == tally.doubled == 0, tally.line()
    assert tally.acknowledged > 0


def test_a_tally_counts_what_is_missing() -> None:
    tally = Tally("x")
    tally.count(0)
    tally.count(2, 1)
    tally.count(0, ok=False)
    assert (tally.tried, tally.survived, tally.lost, tally.doubled) == (3, 1, 2, 1)
    assert not tally.passed
    assert tally.line() == "x: tried 3, survived 1, lost 2, doubled 1, acknowledged 0"
    assert Tally("y", not_run="not run: no cc").line() == "y: not run: no cc"
    assert not Tally("z").passed
