"""Writer processes seen from outside: what they were told is on disk, and whether it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.worker import record
from quintet.store import Journal

SHIM = Path(__file__).with_name("shim.c")
PATIENCE = 60.0


class WriterProcess:
    """A writer, and the numbers that it was acknowledged or refused."""

    def __init__(self, url: str, first: int, environment: dict[str, str] | None = None) -> None:
        self.acknowledged: set[int] = set()
        self.refused = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.worker", url, "--first", str(first)],
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            kind, _, number = line.strip().partition(b" ")
            if kind == b"a":
                self.acknowledged.add(int(number))
            elif kind == b"r":
                self.refused += 1

    def wait_for(self, acknowledged: int = 0, refused: int = 0) -> None:
        """Until so many were acknowledged and so many refused.

        Raises:
            RuntimeError: it ended, or that took a minute.
        """
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged) < acknowledged or self.refused < refused:
            if self.process.poll() is not None or time.monotonic() > deadline:
                code = self.process.poll()
                self.kill()
                raise RuntimeError(
                    f"the writer has {len(self.acknowledged)} acknowledged and "
                    f"{self.refused} refused, exit code {code}"
                )
            time.sleep(0.005)

    def kill(self) -> set[int]:
        """Kill it in the middle of its writes; what had been acknowledged by then."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        return self.acknowledged


@dataclass
class Tally:
    """What a fault did.

    Attributes:
        name: of the fault.
        tried: rounds.
        survived: rounds after which everything acknowledged was there, once.
        lost: acknowledged records that were not there.
        doubled: records that were there twice.
        acknowledged: records in all.
        notes: for the line's end.
    """

    name: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    acknowledged: int = 0
    notes: list[str] = field(default_factory=list)
    not_run: str = ""

    def check(self, journal: Journal, acknowledged: set[int]) -> None:
        """One round: compare a journal with what was acknowledged."""
        held = [entry.record for entry in journal.read()]
        ids = [one.record_id for one in held]
        expected = {number: record(number) for number in acknowledged}
        there = {one.record_id: one for one in held}
        lost = sum(there.get(f"n{number}") != one for number, one in expected.items())
        doubled = len(ids) - len(set(ids))
        problems = journal.verify().problems
        self.notes += problems[:3]
        self.count(lost, doubled, ok=not problems)
        self.acknowledged = max(self.acknowledged, len(acknowledged))

    def count(self, lost: int, doubled: int = 0, *, ok: bool = True) -> None:
        """One round, by numbers."""
        self.tried += 1
        self.lost += lost
        self.doubled += doubled
        self.survived += ok and not lost and not doubled

    @property
    def passed(self) -> bool:
        """Whether every round that ran was survived."""
        return bool(self.not_run) or (self.tried > 0 and self.survived == self.tried)

    def line(self) -> str:
        """The line that is printed."""
        if self.not_run:
            return f"{self.name}: {self.not_run}"
        end = f" ({'; '.join(self.notes)})" if self.notes else ""
        return (
            f"{self.name}: tried {self.tried}, survived {self.survived}, lost {self.lost}, "
            f"doubled {self.doubled}, acknowledged {self.acknowledged}{end}"
        )


def build_shim(folder: Path) -> Path | None:
    """The library that makes writing fail; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "shim.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
    subprocess.run(words, check=True)
    return library
