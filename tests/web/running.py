"""A real server on a free port, in a thread of this process."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from quintet.store import open_store
from quintet.web.app import create_app
from quintet.web.experiments import Experiments
from quintet.web.live import Holder
from quintet.web.protocol import Limits
from quintet.web.security import Gatekeeper, new_key, write_keys
from quintet.web.server import Options, uvicorn_config
from quintet.web.service import Service, Settings
from quintet.web.telemetry import Log


@dataclass
class Running:
    """A server, and a client to ask it."""

    bundle: Path
    state: Path
    keys: Path | None = None
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=lambda: Settings(seed=0))

    def __enter__(self) -> Running:
        self.state.mkdir(parents=True, exist_ok=True)
        self.lines = io.StringIO()
        holder = Holder(self.bundle)
        self.service = Service(
            holder,
            open_store(self.state / "journal"),
            Experiments(self.state / "experiments.json", holder.keep_beside),
            settings=self.settings,
            log=Log(self.lines),
        )
        self.app = create_app(self.service, Gatekeeper(self.keys), self.limits)
        options = Options(str(self.bundle), str(self.state), port=0, limits=self.limits)
        config = uvicorn_config(options, self.app)
        listening = config.bind_socket()
        self.port = listening.getsockname()[1]
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)
        wait_for(lambda: self.server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.server.should_exit = True
        self.thread.join(30)

    def post(self, path: str, body: Any, **options: Any) -> Any:
        """The JSON of an answer that must be good."""
        response = self.http.post(path, json=body, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def get(self, path: str, **options: Any) -> Any:
        response = self.http.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def ids(self, what: str) -> list[Any]:
        """Ids of "users" or "items" of the bundle."""
        return getattr(self.service.holder.live.base, what).values.to_pylist()

    def items_for(self, user: str, **question: Any) -> list[Any]:
        """The items of a list."""
        answer = self.post("/v1/recommend", {"user_id": user, "reasons": False, **question})
        return [one["item_id"] for one in answer["items"]]

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def keys_file(path: Path, **scopes: list[str]) -> dict[str, str]:
    """A keys file with one key for each name; the keys by name."""
    made = {name: new_key(name, own, rate=1e6) for name, own in scopes.items()}
    write_keys(path, [record for _, record in made.values()])
    return {name: key for name, (key, _) in made.items()}
