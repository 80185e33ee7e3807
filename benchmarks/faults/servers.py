"""Real servers in folders of their own, for tests and faults; None where a binary is not found."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

PATIENCE = 30.0


class RedisServer:
    """``redis-server`` (or ``valkey-server``) that flushes every write."""

    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    missing = "no redis-server"

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="quintet-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start, or start again after :meth:`kill`."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "always", "loglevel": "warning"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([str(self.binary), *words], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer:
    """``postgres`` in a fresh cluster; a user of its own where tests run as root."""

    binary = shutil.which("postgres") and shutil.which("initdb")
    missing = "no postgres and initdb"

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="quintet-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.url = f"postgresql://quintet@127.0.0.1:{self.port}/postgres"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self._as = {"user": "postgres", "group": "postgres", "cwd": self.folder}
        self._run("initdb", "-D", self.data, "-U", "quintet", "-A", "trust", "--no-sync")
        self.start()

    def _run(self, *words: object) -> None:
        command = [str(word) for word in words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self._as)

    def start(self) -> None:
        """Start, or start again after :meth:`kill`."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        words = ["postgres", "-D", self.data, "-p", self.port, "-h", "127.0.0.1", "-k", self.folder]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen([str(w) for w in words], stderr=log, **self._as)
        wait_for_port(self.port)
        wait_until_ready(self.url)

    def kill(self) -> None:
        """Stop at once, without a checkpoint (``immediate``): the next start recovers."""
        self.process.send_signal(3)
        self.process.wait()

    def close(self) -> None:
        """Stop and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class NatsServer:
    """``nats-server`` with JetStream in a folder."""

    binary = shutil.which("nats-server")
    missing = "no nats-server"

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="quintet-nats-"))
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start, or start again after :meth:`kill`."""
        words = ["-a", "127.0.0.1", "-p", self.port, "-js", "-sd", self.folder]
        command = [str(word) for word in (self.binary, *words)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stop and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


Server = RedisServer | PostgresServer | NatsServer


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def wait_until_ready(url: str) -> None:
    """Until the database takes connections: it listens before it has recovered."""
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def running(kind: type[Server]) -> Iterator[Any]:
    """A server for a while."""
    server = kind()
    try:
        yield server
    finally:
        server.close()
