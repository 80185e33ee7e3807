"""Writer processes seen from outside: what they were told is on disk, and whether it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.tally import Tally
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
class Audit:
    """Compares journals with what writers were told, round by round.

    Attributes:
        tally: gets the rounds.
        doubled: records that stood twice.
        acknowledged: records of the largest round.
    """

    tally: Tally
    doubled: int = 0
    acknowledged: int = 0

    def check(self, journal: Journal, acknowledged: set[int], *, ok: bool = True) -> None:
        """One round: everything acknowledged is there, as it was, and nothing is there twice."""
        held = [entry.record for entry in journal.read()]
        ids = [one.record_id for one in held]
        expected = {number: record(number) for number in acknowledged}
        there = {one.record_id: one for one in held}
        lost = sum(there.get(f"n{number}") != one for number, one in expected.items())
        doubled = len(ids) - len(set(ids))
        problems = journal.verify().problems
        self.doubled += doubled
        self.acknowledged = max(self.acknowledged, len(acknowledged))
        good = ok and not doubled and not problems
        self.tally.count(lost, ok=good, trouble="; ".join(problems[:2]))

    def done(self, *notes: str) -> Tally:
        """The tally, with the figures as notes."""
        figures = f"doubled {self.doubled}, acknowledged {self.acknowledged:,}"
        self.tally.notes[:0] = [figures, *notes]
        return self.tally


def build_shim(folder: Path) -> Path | None:
    """The library that makes writing fail; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "shim.so"
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
    subprocess.run(words, check=True)
    return library
