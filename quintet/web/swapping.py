"""Another bundle goes live: validated first, then put in place, with the one before kept.

Workers of one machine follow a file in the state folder: who swaps writes it, the others load what
it names. A bundle that is refused leaves everything as it was.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quintet.allocator import hand_back
from quintet.errors import InvalidRequestError, QuintetError
from quintet.files import write_json_atomic
from quintet.web.journaling import deployment
from quintet.web.live import Live, carried

if TYPE_CHECKING:
    from quintet.web.service import Service


class Swapper:
    """Swaps the bundle of one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.path = service.experiments.path.with_name("active.json")
        self._followed: dict[str, str] | None = None

    @staticmethod
    def describe(service: Service) -> dict[str, Any]:
        """What is served."""
        holder = service.holder
        previous = holder.previous
        return {
            "model": holder.live.version,
            "bundle": holder.live.folder.name,
            "previous": previous.version if previous is not None else None,
            "items": len(holder.live.trained.items),
            "seconds": 0.0,
        }

    async def swap(self, name: str | None, *, rollback: bool = False) -> dict[str, Any]:
        """Load, validate and serve a bundle; by no name, the folder that is served, read again.

        Raises:
            InvalidRequestError: it cannot be served, or there is none to go back to; the live one
                stays.
        """
        async with self.service.swapping:  # or the watcher would undo what is half done
            return await self._swap(name, rollback)

    async def _swap(self, name: str | None, rollback: bool) -> dict[str, Any]:
        started = time.perf_counter()
        holder, service = self.service.holder, self.service
        if rollback and (name is not None or holder.previous is None):
            raise InvalidRequestError("there is no model to go back to")
        try:
            made = await service.build(self._candidate, name, rollback)
        except QuintetError as error:
            service.metrics.swaps.labels("refused").inc()
            service.log.write("model refused", kind=type(error).__name__, live=holder.live.version)
            reason = _reason(error, holder.shelf)
            raise InvalidRequestError(f"refused, the live model stays: {reason}") from None
        await self._put(made)
        write_json_atomic(self.path, {"bundle": made.folder.name, "version": made.version})
        return self.describe(service) | {"seconds": round(time.perf_counter() - started, 3)}

    def _candidate(self, name: str | None, rollback: bool) -> Live:
        holder = self.service.holder
        if rollback:
            assert holder.previous is not None
            return holder.previous
        folder = holder.live.folder if name is None else holder.find(name)
        return holder.candidate(folder)

    async def _put(self, made: Live) -> None:
        service = self.service
        await service.build(self._take, made)
        await service.build(hand_back)  # what the model before the last held
        service.metrics.swaps.labels("done").inc()
        service.metrics.loaded.set(time.time())
        service.log.write("model live", model=made.version, bundle=made.folder.name)
        try:
            await service.record([deployment(made)])
        except QuintetError:
            service.log.write("deployment not recorded", model=made.version)

    def _take(self, made: Live) -> None:
        """Put a model in place; on the thread that adds items, so that none comes in between."""
        holder = self.service.holder
        holder.swap(carried(holder.live, made))
        self.service.builder.follow()

    async def follow(self) -> None:
        """Serve what another worker put in place."""
        async with self.service.swapping:
            await self._follow()

    async def _follow(self) -> None:
        wanted = self.wanted(self.path)
        live = self.service.holder.live
        if wanted is None or wanted["version"] == live.version:
            self.service.problems.pop("model", None)
            return
        if wanted == self._followed:  # its folder holds another version by now, which was loaded
            return
        previous = self.service.holder.previous
        if previous is not None and previous.version == wanted["version"]:
            self.service.problems.pop("model", None)
            await self._put(previous)
            return
        try:
            made = await self.service.build(self._candidate, wanted["bundle"], False)
        except QuintetError as error:
            self.service.problems["model"] = f"cannot follow a swap: {type(error).__name__}"
            return
        self.service.problems.pop("model", None)
        self._followed = wanted
        if made.version != live.version:
            await self._put(made)

    @staticmethod
    def wanted(path: Path) -> dict[str, str] | None:
        """What the file names; None where there is none."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {"bundle": str(found["bundle"]), "version": str(found["version"])}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def _reason(error: QuintetError, shelf: Path) -> str:
    """The error's words without the machine's paths."""
    return str(error).split("\n")[0].replace(f"{shelf}/", "")
