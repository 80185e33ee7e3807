"""The sides of the comparison as processes: started together, one epoch each in turn.

A process a side keeps peak memory apart and lets each library have its own interpreter; taking
turns spreads what the machine does besides evenly over all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import ALLOCATOR
from quintet.errors import ConfigError, DataError

Line = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "quintet": "benchmarks.peers.quintet_sasrec",
    "recbole": "benchmarks.peers.recbole_sasrec",
    "rectools": "benchmarks.peers.rectools_sasrec",
    "itemknn": "benchmarks.peers.implicit_itemknn",
}
OWN = ("recbole", "rectools")


def command(side: str, peers: Path, sequences: Path, options: list[str]) -> list[str]:
    """How a side is run: ``NAME`` or ``NAME:BATCH``.

    Raises:
        ConfigError: no side has this name, or its environment was not installed.
    """
    name, _, batch = side.partition(":")
    if name not in MODULES:
        raise ConfigError(f"unknown side {name!r}; choose among: {', '.join(MODULES)}")
    python = Path(sys.executable)
    if name in OWN:
        python = (peers / name / "bin" / "python").absolute()
        if not python.exists():
            raise ConfigError(
                f"{python} is not there; build it with `benchmarks/peers/install.sh {peers}`"
            )
    chosen = ["--batch", batch] if batch else []
    line = [str(python), "-W", "ignore", "-m", MODULES[name], str(sequences.absolute())]
    return [*line, *chosen, *options]


@dataclass
class Side:
    """A running side and what it has told so far."""

    name: str
    process: subprocess.Popen[str]
    lines: list[Line] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, line: list[str], threads: int, *, compared: bool = True) -> Side:
        """Start the process; sides that are compared have the same allocator settings."""
        allocator = ALLOCATOR if compared else {}
        environment = {**os.environ, **allocator, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment,
        )  # fmt: skip
        return cls(name, process)

    def epoch(self) -> Line:
        """Let it train one epoch."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.until("epoch")

    def until(self, event: str) -> Line:
        """Wait for a line of this kind.

        Raises:
            DataError: the process ended before it.
        """
        assert self.process.stdout is not None
        for text in self.process.stdout:
            if not text.startswith("{"):
                continue
            self.lines.append(json.loads(text))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        raise DataError(f"{self.name} ended with code {self.process.wait()} before its {event}")

    def finish(self) -> list[Line]:
        """Wait for the end; everything it told."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.lines += [json.loads(text) for text in self.process.stdout if text.startswith("{")]
        self.process.wait()
        return self.lines


def alternate(lines: dict[str, list[str]], epochs: int, threads: int) -> dict[str, list[Line]]:
    """``epochs`` epochs of every side, taking turns; all that each told."""
    sides = [
        Side.start(name, [*line, "--in-step", "--epochs", str(epochs)], threads)
        for name, line in lines.items()
    ]
    try:
        for _ in range(epochs):
            for side in sides:
                side.epoch()
        return {side.name: side.finish() for side in sides}
    finally:
        for side in sides:
            if side.process.poll() is None:
                side.process.kill()


def alone(name: str, line: list[str], threads: int, *, compared: bool = True) -> list[Line]:
    """Run one side to its end, under the common allocator settings or as it is shipped.

    Raises:
        DataError: it ended with an error.
    """
    side = Side.start(name, line, threads, compared=compared)
    lines = side.finish()
    if side.process.returncode:
        raise DataError(f"{name} ended with code {side.process.returncode}")
    return lines


def epochs_of(lines: list[Line]) -> list[Line]:
    """The lines that tell of an epoch."""
    return [line for line in lines if line["event"] == "epoch"]


def medians(lines: list[Line]) -> dict[str, float]:
    """Median seconds and CPU seconds of an epoch, and the peak of memory."""
    epochs = epochs_of(lines)
    return {
        "seconds": float(np.median([line["seconds"] for line in epochs])),
        "cpu_seconds": float(np.median([line["cpu_seconds"] for line in epochs])),
        "peak_memory_mb": max(line["peak_memory_mb"] for line in epochs),
        "epochs": len(epochs),
    }


def read_lines(path: Path) -> list[Line]:
    """A kept file of lines; a last line that was cut off is left out.

    Raises:
        DataError: the file holds no epoch.
    """
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    if not epochs_of(lines):
        raise DataError(f"{path}: no epoch is told there; give a file that a peer wrote")
    return lines
