"""What the service does, apart from HTTP: models in, models out.

Two threads beside the event loop: one for what takes the model long, the other builds (new bundles,
new items). The journal has a thread of its own. Lists that are quick to make are made and written
to the disk by the loop itself (:mod:`quintet.web.thinking`); nothing else blocks it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from quintet.errors import OverloadedError, QuintetError
from quintet.store import Appended, Event, Exposure, Journal, Outcome, Record
from quintet.web import answers, items, journaling, models
from quintet.web.ahead import Ahead
from quintet.web.batching import Batcher
from quintet.web.experiments import Experiments
from quintet.web.known import Known
from quintet.web.lists import Ask, ListMaker
from quintet.web.live import Holder, Live
from quintet.web.recounting import Recounter
from quintet.web.telemetry import Log, Metrics
from quintet.web.thinking import Thinker
from quintet.web.writing import Made

T = TypeVar("T")


@dataclass
class Settings:
    """How much at once.

    Attributes:
        batch: lists made in one go, at most.
        waiting: requests under way at once; above, they are turned away at once.
        seed: of the draws; fresh every time when absent.
        recount_seconds: between two counts of what all people did; 0 keeps the bundle's counts.
        backup_folder: of the backups; ``backup`` in the state folder when empty.
        backup_keys: file that the keys are copied to with each; not copied when empty.
    """

    batch: int = 64
    waiting: int = 256
    seed: int | None = None
    recount_seconds: float = 60.0
    backup_folder: str = ""
    backup_keys: str = ""


@dataclass(frozen=True)
class Making:
    """Lists made in one go.

    Attributes:
        made: one for each question, or what stood in its way.
        stored: what becomes of their exposures.
        exposures: how many.
    """

    made: Sequence[Made | Exception]
    stored: Future[list[Appended]]
    exposures: int


class Service:
    """Answers, over a model, a journal and experiments."""

    def __init__(
        self,
        holder: Holder,
        journal: Journal,
        experiments: Experiments,
        *,
        settings: Settings | None = None,
        metrics: Metrics | None = None,
        log: Log | None = None,
    ) -> None:
        self.holder = holder
        self.journal = journal
        self.experiments = experiments
        self.settings = settings or Settings()
        self.metrics = metrics or Metrics()
        self.log = log or Log(None)
        self.known = Known(journal)
        self.lists = ListMaker(holder, self.known, experiments, self.settings.seed)
        self.thinker = Thinker(here=journal.local)
        self.build_thread = ThreadPoolExecutor(1, "quintet-build")
        self.builder = items.Builder(holder, journal)
        self.recounter = Recounter(holder, journal, self.settings.recount_seconds)
        self.batcher = Batcher(self._make, self._expose, self.thinker, self.settings.batch)
        self.draining = False
        self.ahead = Ahead(holder, self.known, self.thinker, self._idle)
        self.swapping = asyncio.Lock()
        self.problems: dict[str, str] = {}

    async def start(self) -> None:
        """Take in the items of the journal, and say which model went live."""
        await self.build(self.builder.follow)
        await self.record([journaling.deployment(self.holder.live)])
        self.metrics.loaded.set(time.time())
        self.log.write("ready", process=os.getpid(), model=self.holder.live.version)

    async def close(self) -> None:
        """Let the threads end their work, then close the journal."""
        self.draining = True
        await asyncio.to_thread(self.thinker.close)
        await asyncio.to_thread(self.build_thread.shutdown)
        await asyncio.to_thread(self.journal.close)

    # ------------------------------------------------------------------ threads

    async def think(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run on the model's thread, with the newest events."""

        def run() -> T:
            self.known.follow()
            self._take_in_items()
            return work(*arguments)

        return await self.thinker.aside(run)

    async def build(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run on the builder's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.build_thread, work, *arguments)

    async def record(self, records: Sequence[Record]) -> list[Appended]:
        """On disk when it returns; raises what the journal raises."""
        return await self._stored(self.journal.submit(records))

    async def _stored(self, stored: Future[list[Appended]]) -> list[Appended]:
        try:
            done = stored.result() if stored.done() else await asyncio.wrap_future(stored)
        except QuintetError as error:
            self.problems["journal"] = type(error).__name__
            raise
        self.problems.pop("journal", None)
        return done

    # ------------------------------------------------------------------ lists

    def _make(self, asks: Sequence[Ask]) -> Making:
        """Lists, whose exposures are on their way to the disk when it returns."""
        made = self.lists.make(asks)
        exposures = [one.exposure for one in made if isinstance(one, Made)]
        stored = self._submitted(exposures)
        self.metrics.lists([one for one in made if isinstance(one, Made)])
        self.metrics.batch.observe(len(asks))
        self._take_in_items()
        return Making(made, stored, len(exposures))

    def _take_in_items(self) -> None:
        """Another process may have added some."""
        if self.known.items_changed:
            self.known.items_changed = False
            self.build_thread.submit(self._follow_items)

    def _follow_items(self) -> None:
        """Take in other processes' items; on the builder's thread."""
        try:
            self.builder.follow()
        except QuintetError:
            self.known.items_changed = True  # the next list tries again

    def _submitted(self, exposures: Sequence[Exposure]) -> Future[list[Appended]]:
        stored: Future[list[Appended]] = Future()
        try:
            if not exposures:
                return stored
            return self.journal.submit(exposures, at_once=True, drawn=True)
        except QuintetError as error:
            stored.set_exception(error)
            return stored

    async def _expose(self, making: Making) -> list[bytes | Exception]:
        """The answers as JSON once their exposures are on disk, all with one flush."""
        kept = "durable"
        try:
            if making.exposures:
                await self._stored(making.stored)
        except QuintetError:
            kept = "failed"
        self.metrics.exposures.labels(kept).inc(making.exposures)
        return [one.body(kept) if isinstance(one, Made) else one for one in making.made]

    def _idle(self) -> bool:
        """Whether the model has nothing to do, and is there to do something."""
        return self.batcher.idle and not self.draining

    async def recommend(self, request: models.RecommendIn, request_id: str) -> bytes:
        """A list as JSON, its exposure on disk."""
        return await self.batcher.ask(Ask(request, request_id))

    # ------------------------------------------------------------------ events

    async def events(self, events: Sequence[models.EventIn], request_id: str) -> dict[str, Any]:
        """Store events; the next answer reflects them."""
        live = self.holder.live
        received = journaling.now()  # one for all: the same event twice is then one event
        records = [journaling.event(live, one, received) for one in events]
        try:
            done = await self.record(records)
            if any(one.outcome is Outcome.CONFLICT for one in done):
                done = await asyncio.to_thread(self._untimed, events, records, done)
        except QuintetError as error:
            if error.http_status < 500:
                raise
            raise OverloadedError("the events could not be stored; send them again", 1.0) from None
        counts = dict.fromkeys(Outcome, 0)
        for one in done:
            counts[one.outcome] += 1
            self.metrics.events.labels(one.outcome.value).inc()
        rows = live.trained.items.rows([one.item_id for one in records])
        unknown = int((rows < 0).sum())
        self.metrics.unknown.inc(unknown)
        self.metrics.offset.set(self.journal.last_offset)
        self.ahead.of({record.owner for record in records})
        return {
            "request_id": request_id,
            "accepted": counts[Outcome.NEW],
            "duplicates": counts[Outcome.DUPLICATE],
            "conflicts": counts[Outcome.CONFLICT],
            "unknown_items": unknown,
            "events": [
                {"event_id": record.event_id, "offset": one.offset, "outcome": one.outcome.value}
                for record, one in zip(records, done, strict=True)
            ],
        }

    def _untimed(
        self,
        events: Sequence[models.EventIn],
        records: Sequence[Event],
        done: Sequence[Appended],
    ) -> list[Appended]:
        """Events sent again without a time are the same event: the time was ours."""
        return [
            journaling.settled(self.journal, record, one) if sent.timestamp is None else one
            for sent, record, one in zip(events, records, done, strict=True)
        ]

    # ------------------------------------------------------------------ the other answers

    async def score(self, request: models.ScoreIn) -> dict[str, Any]:
        """Calibrated answers for one person and several items."""
        return await self.think(answers.score, self.lists, request)

    async def similar(self, item: str, k: int) -> dict[str, Any]:
        """Items near to one."""
        return await self.think(answers.similar, self.holder.live, item, k)

    async def explain(self, request: models.ExplainIn) -> dict[str, Any]:
        """Why an item."""
        return await self.think(answers.explained, self.lists, request)

    async def profile(self, user: str | int, *, export: bool = False) -> dict[str, Any]:
        """What is made of a person."""
        return await self.think(answers.profile, self.lists, user, export)

    async def edit(self, user: str | int, changes: models.ProfileEditIn) -> dict[str, Any]:
        """Store an edit; the next answer keeps to it."""
        await self.think(answers.check_edit, self.holder.live, changes)
        await self.record([journaling.edit(self.holder.live, user, changes)])
        return await self.think(answers.edited, self.lists, user)

    async def erase(self, user: str | int) -> dict[str, Any]:
        """Make everything of a user unreadable, and forget it."""
        owner = journaling.user_owner(self.holder.live, user)
        # a tombstone is only written where something is held: the bundle's events need one too
        await self.record([journaling.farewell(owner)])
        receipt = await asyncio.to_thread(self.journal.erase, owner)
        await self.think(self.known.forget, owner)
        other = journaling.other_owner(owner)  # a former bundle may have written the id otherwise
        if other is not None:
            more = await asyncio.to_thread(self.journal.erase, other)
            await self.think(self.known.forget, other)
            receipt = receipt.joined(more)
        return {
            "offset": receipt.offset,
            "digest": receipt.digest,
            "records": receipt.n_records,
            "unreached": list(receipt.unreached),
            "note": "journal and state hold nothing more; what the bundle was trained on is no "
            "longer used in answers and leaves its files with the next training",
        }

    # ------------------------------------------------------------------ items and models

    async def item(self, item: str) -> dict[str, Any]:
        """What is known of an item."""

        def describe() -> dict[str, Any]:
            self._follow_items()
            return items.described(self.holder.live, item)

        return await self.build(describe)

    def _upserted(self, sent: Sequence[models.ItemIn]) -> tuple[Live, Future[list[Appended]]]:
        """Merge with what is known, store, and take in; nothing else changes items meanwhile."""
        self.builder.follow()
        before = self.holder.live
        stored = self.journal.submit(items.checked(before, sent))
        if stored.exception() is None:
            self.builder.follow()
        return before, stored

    async def upsert(self, request: models.ItemsIn) -> dict[str, Any]:
        """Store items and let them take part."""
        started = time.perf_counter()
        before, stored = await self.build(self._upserted, request.items)
        done = await self._stored(stored)
        live = self.holder.live
        rows = before.trained.items.rows([one.item_id for one in request.items])
        offered = np.array([not one.retired for one in request.items])
        return {
            "model": live.version,
            "offset": max(one.offset for one in done),
            "added": int((offered & (rows < 0)).sum()),
            "changed": int((offered & (rows >= 0)).sum()),
            "retired": int((~offered & (rows >= 0)).sum()),
            "catalogue": len(live.trained.items),
            "seconds": round(time.perf_counter() - started, 4),
        }
