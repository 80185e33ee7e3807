"""Bundles that come and go under load, and bundles that must not come at all."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.faults.process import Serving
from benchmarks.faults.scene import Scene
from benchmarks.faults.tally import Tally

CLIENTS = 4


class Askers:
    """Clients that ask for lists without a pause, and count what they get.

    Attributes:
        statuses: every status that came, with how often.
        broken: requests without an answer.
    """

    def __init__(self, server: Serving, users: list[Any], clients: int = CLIENTS) -> None:
        self.statuses: dict[int, int] = {}
        self.broken = 0
        self.seconds: list[float] = []
        self._server, self._users = server, users
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._stop.is_set():
                number += CLIENTS
                body = {"user_id": self._users[number % len(self._users)], "k": 10}
                started = time.perf_counter()
                try:
                    status = client.post("/v1/recommend", json=body).status_code
                except httpx.TransportError:
                    status = 0
                with self._lock:
                    self.seconds.append(time.perf_counter() - started)
                    self.broken += status == 0
                    self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def answered(self) -> int:
        """Good answers."""
        return self.statuses.get(200, 0)

    @property
    def failed(self) -> int:
        """All others, and what was not answered."""
        return sum(self.statuses.values()) - self.answered


def under_load(scene: Scene) -> Tally:
    """100 hot swaps between two bundles while 4 clients ask: every answer is a good one."""
    tally = Tally("hot swaps under 4 clients")
    shelf = shelved(scene, "a", "b")
    retitle(shelf / "b", "another training of the same films")
    with (
        Serving(shelf / "a", scene.folder / "state", "--quiet") as server,
        Askers(server, scene.models.films.ids("users")) as askers,
    ):
        for number in range(scene.rounds(100)):
            failed = askers.failed
            answer = server.http.post("/v1/model", json={"name": "ba"[number % 2]})
            time.sleep(0.05)
            good = answer.status_code == 200 and answer.json()["bundle"] == "ba"[number % 2]
            tally.count(askers.failed - failed, ok=good, trouble=answer.text[:80])
    tally.notes.append(f"{askers.answered:,} answers, {askers.failed} other than 200")
    return tally


def refused(scene: Scene) -> Tally:
    """20 bad bundles are pushed: each is refused, and the old one goes on answering."""
    tally = Tally("bad models pushed and refused")
    shelf = shelved(scene, "good")
    with Serving(shelf / "good", scene.folder / "state", "--quiet") as server:
        before = server.http.get("/v1/model").json()["model"]
        for name, spoil in bad_models(scene).items():
            if not (shelf / name).exists():
                shutil.copytree(shelf / "good", shelf / name)
            spoil(shelf / name)
            answer = server.http.post("/v1/model", json={"name": name})
            told = server.http.post("/v1/recommend", json={"user_id": "1"})
            good = answer.status_code == 422 and told.status_code == 200
            good = good and told.json()["model"] == before
            tally.count(ok=good, trouble=f"{name}: {answer.status_code} {answer.text[:120]}")
            shutil.rmtree(shelf / name)
    return tally


def bad_models(scene: Scene) -> dict[str, Callable[[Path], object]]:
    """Ways to spoil a bundle, by name."""

    def flip(name: str) -> Callable[[Path], object]:
        def spoil(bundle: Path) -> None:
            data = bytearray((bundle / name).read_bytes())
            data[scene.chance.randrange(len(data))] ^= 0x10
            (bundle / name).write_bytes(data)

        return spoil

    def cut(name: str) -> Callable[[Path], object]:
        return lambda bundle: (bundle / name).write_bytes((bundle / name).read_bytes()[:-100])

    def lose(name: str) -> Callable[[Path], object]:
        return lambda bundle: (bundle / name).unlink()

    def arrays(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        def spoil(bundle: Path) -> None:
            found = load_file(bundle / name)
            change(found)
            save_file(found, bundle / name)
            sign(bundle)

        return spoil

    def setting(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        def spoil(bundle: Path) -> None:
            found = json.loads((bundle / "run.json").read_text())
            change(found)
            (bundle / "run.json").write_text(json.dumps(found))
            sign(bundle)

        return spoil

    def other_catalogue(bundle: Path) -> None:
        shutil.rmtree(bundle)
        shutil.copytree(scene.models.market.bundle, bundle)

    weights = "weights.safetensors"
    table = next(key for key in load_file(scene.models.films.bundle / weights) if "embedd" in key)
    return {
        "flipped-weights": flip(weights),
        "flipped-features": flip("features.safetensors"),
        "flipped-memories": flip("memories.safetensors"),
        "flipped-events": flip("events.parquet"),
        "flipped-run": flip("run.json"),
        "cut-weights": cut(weights),
        "cut-items": cut("items.parquet"),
        "no-weights": lose(weights),
        "no-manifest": lose("manifest.json"),
        "no-users": lose("users.parquet"),
        "nan-weights": arrays(weights, lambda a: a.update({table: a[table] * np.nan})),
        "endless-weights": arrays(weights, lambda a: a.update({table: a[table] * np.inf})),
        "wide-weights": arrays(weights, lambda a: a.update({table: a[table].repeat(2, axis=1)})),
        "short-weights": arrays(weights, lambda a: a.update({table: a[table][:-1]})),
        "missing-weight": arrays(weights, lambda a: a.pop(table)),
        "nan-memories": arrays("memories.safetensors", _nans),
        "short-counts": arrays("features.safetensors", lambda a: a.update(count=a["count"][:5])),
        "newer-schema": setting(lambda run: run.update(schema_version=999)),
        "unknown-memory": setting(lambda run: run["memories"].update(oracle={})),
        "other-catalogue": other_catalogue,
    }


def _nans(arrays: dict[str, Any]) -> None:
    for key, values in arrays.items():
        if values.dtype.kind == "f":
            arrays[key] = values * np.nan


def poisoned(scene: Scene) -> Tally:
    """10 bundles with code in their files: none of it runs, and the old one goes on answering."""
    tally = Tally("poisoned bundle files")
    shelf, canary = shelved(scene, "good"), scene.folder / "canary"
    bomb = pickle.dumps(Bomb(str(canary)))
    code = f"open({str(canary)!r}, 'w').close()"
    with Serving(shelf / "good", scene.folder / "state", "--quiet") as server:
        for name, files in poisons(bomb, code).items():
            shutil.copytree(shelf / "good", shelf / name)
            for file, content in files.items():
                (shelf / name / file).write_bytes(content)
            sign(shelf / name, *files)
            answer = server.http.post("/v1/model", json={"name": name})
            told = server.http.post("/v1/recommend", json={"user_id": "1"})
            good = answer.status_code in (200, 422) and told.status_code == 200
            tally.count(lost=canary.exists(), ok=good, trouble=f"{name}: {answer.status_code}")
            canary.unlink(missing_ok=True)
            shutil.rmtree(shelf / name)
    return tally


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


def poisons(bomb: bytes, code: str) -> dict[str, dict[str, bytes]]:
    """What lies in each poisoned bundle, by file."""
    evil = f"import os\n{code}\n".encode()
    objects = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"
    return {
        "pickled-weights": {"weights.safetensors": bomb},
        "pickled-features": {"features.safetensors": bomb},
        "pickled-memories": {"memories.safetensors": bomb},
        "pickled-tables": {"items.parquet": bomb},
        "torch-file": {"weights.pt": bomb, "weights.bin": bomb},
        "numpy-objects": {"memories.safetensors": objects.ljust(128) + bomb},
        "python-beside": {"__init__.py": evil, "sitecustomize.py": evil, "conftest.py": evil},
        "run-names-code": {"run.json": json.dumps({"__reduce__": code, "_target_": code}).encode()},
        "card-with-script": {"card.md": f"<script>{code}</script> {{{{ {code} }}}}".encode()},
        "toml-and-pth": {"evil.pth": b"import os; " + code.encode(), "config.toml": evil},
    }


# ---------------------------------------------------------------- bundles on a shelf


def shelved(scene: Scene, *names: str) -> Path:
    """A folder with copies of the films' bundle."""
    shelf = scene.folder / "shelf"
    for name in names:
        shutil.copytree(scene.models.films.bundle, shelf / name)
    return shelf


def retitle(bundle: Path, card: str) -> None:
    """Another version of a bundle: the same answers under another name."""
    (bundle / "card.md").write_text(card)
    sign(bundle)


def sign(bundle: Path, *more: str) -> None:
    """Make the manifest true again, as somebody would who means harm."""
    path = bundle / "manifest.json"
    names = [*json.loads(path.read_text()), *more]
    digests = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in names}
    path.write_text(json.dumps(digests))
