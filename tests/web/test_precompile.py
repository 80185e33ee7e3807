"""Loops that are compiled before workers are forked: the very ones that lists then need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quintet.compiled import can_compile

# a process of its own: here other tests may have compiled anything
COUNT = """
import asyncio, json, sys
import httpx
from quintet.memory import entries, steps
from quintet.serve import evidence, top
from quintet.web.server import Options, build_app

def signatures():
    loops = (steps._walked, entries._add, entries._at, top._select, evidence._relative)
    return [loop.n_signatures for loop in loops]

async def ask(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        body = {"user_id": "u1", "k": 3, "exploration": 0.5}
        return (await client.post("/v1/recommend", json=body)).raise_for_status()

bundle, state, first = sys.argv[1:]
if first == "forked":
    from quintet.web import precompile
told = [signatures()]
app = build_app(Options(bundle, state, port=0, access_log=False))
told.append(signatures())
asyncio.run(ask(app))
told.append(signatures())
print(json.dumps(told))
"""


@pytest.mark.parametrize(("process", "before"), [("forked", 1), ("alone", 0)])
@pytest.mark.skipif(not can_compile(), reason="numba is not installed")
def test_nothing_is_compiled_anew_for_a_list(
    bundle: Path, tmp_path: Path, process: str, before: int
) -> None:
    command = [sys.executable, "-c", COUNT, str(bundle), str(tmp_path / "state"), process]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [[before] * 5, [1] * 5, [1] * 5]
