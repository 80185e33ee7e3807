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
import json, pathlib, sys
from quintet.memory import entries, steps
from quintet.serve import evidence, top
from quintet.serve.slate import draw
from quintet.web import precompile, writing
from quintet.web.live import load_live

def signatures():
    loops = (
        steps._walked, entries._add, entries._at, top._select,
        evidence._relative, draw._draw, writing._strongest,
    )
    return [loop.n_signatures for loop in loops]

told = [signatures()]
load_live(pathlib.Path(sys.argv[1]))  # asks for lists, to see that they are numbers
told.append(signatures())
print(json.dumps(told))
"""


@pytest.mark.skipif(not can_compile(), reason="numba is not installed")
def test_nothing_is_compiled_anew_for_a_list(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(bundle)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[1] * 7] * 2
