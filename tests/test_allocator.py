"""Freed memory is kept for the next use while training, and handed back after."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from quintet import allocator
from quintet.allocator import hand_back, handing_back, reusing_memory

MEGABYTES = 24
PAGE = resource.getpagesize()


def faults_of_second_use() -> int:
    """Pages that the kernel had to give when a block was taken again after it had been freed."""
    np.ones(MEGABYTES << 20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(MEGABYTES << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of the process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.fixture
def glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*allocator.SET_BY_USER, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    if allocator._glibc() is None:
        pytest.skip("another C library")


@pytest.mark.usefixtures("glibc")
def test_blocks_are_used_again_and_handed_back() -> None:
    with reusing_memory() as in_force:
        assert in_force
        # the first block pays for its pages, the second finds them there
        assert faults_of_second_use() < 64
        kept = resident()
    assert resident() < kept - (MEGABYTES // 2 << 20)


@pytest.mark.usefixtures("glibc")
def test_freed_memory_can_be_handed_back_in_between() -> None:
    with reusing_memory():
        np.ones(MEGABYTES << 20, np.uint8)
        kept = resident()
        hand_back()
        assert resident() < kept - (MEGABYTES // 2 << 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_TRIM_THRESHOLD_", "1000000"), ("GLIBC_TUNABLES", "glibc.malloc.top_pad=1")],
)
def test_what_the_user_has_set_stands(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with reusing_memory() as in_force:
        assert not in_force


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: None)
    with reusing_memory() as in_force:
        assert not in_force


@pytest.mark.usefixtures("glibc")
def test_what_a_stage_freed_is_handed_back_before_the_next() -> None:
    announced: list[str] = []
    begun = handing_back(announced.append)
    with reusing_memory():
        np.ones(MEGABYTES << 20, np.uint8)
        kept = resident()
        begun("next")
        assert resident() < kept - (MEGABYTES // 2 << 20)
    handing_back(None)("unheard")
    assert announced == ["next"]
