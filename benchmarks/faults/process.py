"""``quintet serve`` and other commands in processes of their own, as a machine would run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

QUINTET = [sys.executable, "-c", "from quintet.cli import main; main()"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
#: for what takes seconds on a quiet machine
PATIENCE = 300.0


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.02) -> float:
    """Until the condition holds; gives the seconds that took.

    Raises:
        TimeoutError: it does not hold in time.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(every)
    return time.monotonic() - started


def command(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """``quintet WORDS``, run to its end; raises where it fails."""
    return subprocess.run(
        [*QUINTET, *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        **more,
    )


class Serving:
    """``quintet serve BUNDLE`` on a free port, ready to answer when the constructor is done.

    Args:
        bundle: of the model.
        state: its state folder; the log is written beside it.
        options: more of the command line.
        key: sent with every request of :attr:`http`.
    """

    def __init__(self, bundle: Path, state: Path, *options: object, key: str = "") -> None:
        self.state = state
        self.log_path = state.with_suffix(".log")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        words = ["serve", bundle, "--port", 0, "--state", state, *options]
        with self.log_path.open("a") as log:
            self._from = log.tell()
            self.process = subprocess.Popen(
                [*QUINTET, *map(str, words)], stderr=log, env=ENVIRONMENT
            )
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            self.port = self._listening()
            self.url = f"http://127.0.0.1:{self.port}"
            self.http = httpx.Client(base_url=self.url, timeout=30, headers=headers)
            wait_for(self.is_ready)
        except BaseException:
            self.kill()
            raise

    def _listening(self) -> int:
        """The port, once it says so."""
        wait_for(lambda: self.process.poll() is not None or self.lines("listening"), every=0.1)
        if self.process.poll() is not None:
            raise RuntimeError(f"quintet serve ended: {self.log()[-500:]}")
        return int(self.lines("listening")[0]["port"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.stop()

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """What it wrote since it started."""
        with self.log_path.open() as log:
            log.seek(self._from)
            return log.read()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log of one kind."""
        found = (line for line in self.log().splitlines() if f'"event":"{event}"' in line)
        return [json.loads(line) for line in found]

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON of an answer that must be good."""
        answer = self.http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def children(self) -> list[int]:
        """Process ids of its workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in path.read_text().split()]

    def memory(self, name: str = "VmRSS") -> float:
        """Resident megabytes of the process; the most since :meth:`forget_peak` as ``VmHWM``."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) / 1024

    def forget_peak(self) -> None:
        """Start to watch for a new peak of memory."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
