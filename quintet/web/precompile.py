"""Compiles the loops of a list when it is imported, for the process that workers are forked from.

What that process has compiled its workers have too: one that takes a dead one's place answers a
second and a half sooner.
"""

from __future__ import annotations

from quintet.compiled import can_compile
from quintet.web.loops import compile_loops

if can_compile():
    compile_loops()
