"""A journal in Redis (or Valkey), for several processes and machines.

Acknowledged means on disk, so the server must run with ``appendonly yes`` and ``appendfsync
always``; anything less has to be asked for by name. Writers compete for the next offset: a script
checks, in one step on the server, that nobody wrote meanwhile and that every owner's key still
stands; who comes second looks again.

Keys live in the same server, so that check is atomic. Erasing has the server rewrite its files
(``BGREWRITEAOF``, ``BGSAVE`` where snapshots are on): they would remember the destroyed secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self, TypeVar

from pydantic import Field

from quintet.config import build
from quintet.errors import MissingExtraError, StoreError
from quintet.store.redis_keys import RedisKeys
from quintet.store.seal import NOBODY, Sealed, parse
from quintet.store.sealed_journal import RacedError, SealedJournal

try:
    import redis
except ImportError:
    raise MissingExtraError("a journal in Redis", "redis") from None

Result = TypeVar("Result")
#: codes from here on are rare enough for a list of their own
RARE = 3
SCRIPT = """
local p = KEYS[1]
if tonumber(redis.call('GET', p .. ':head') or '0') ~= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 5 do
  if redis.call('HEXISTS', p .. ':ids', ARGV[i + 1]) == 1 then return 0 end
  if ARGV[i + 2] ~= '' and redis.call('HSTRLEN', p .. ':secrets', ARGV[i + 2]) == 0 then
    return 0
  end
end
for i = 2, #ARGV, 5 do
  local offset, owner = ARGV[i], ARGV[i + 2]
  redis.call('HSET', p .. ':rows', offset, ARGV[i + 4])
  redis.call('HSET', p .. ':ids', ARGV[i + 1], offset)
  if owner ~= '' then redis.call('RPUSH', p .. ':owner:' .. owner, offset) end
  if tonumber(ARGV[i + 3]) >= 3 then redis.call('RPUSH', p .. ':kind:' .. ARGV[i + 3], offset) end
  redis.call('SET', p .. ':head', offset)
end
return 1
"""


class RedisJournal(SealedJournal):
    """A journal in a Redis server; see the module's docstring.

    Args:
        url: ``redis://host:port/db``.
        config: see :class:`Config`.

    Raises:
        StoreError: the server cannot be reached, or does not flush every write.
    """

    class Config(SealedJournal.Config):
        """Settings of a journal in Redis."""

        prefix: str = Field(default="quintet", min_length=1, description="of all key names")
        durability: Literal["always", "relaxed"] = Field(
            default="always", description="relaxed: an acknowledged record may be lost in a crash"
        )
        timeout: float = Field(default=10.0, gt=0, description="seconds that an answer may take")

    def __init__(self, url: str, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        self._server = redis.Redis.from_url(
            url, socket_timeout=settings.timeout, socket_connect_timeout=settings.timeout
        )
        self._prefix = f"{{{settings.prefix}}}"  # braces: one slot of a cluster
        self._script = self._server.register_script(SCRIPT)
        if settings.durability == "always":
            self._guard(self._check_durability)
        keys = RedisKeys(self._server, self._prefix, self._guard)
        super().__init__(keys, settings)

    @classmethod
    def open(cls, url: str, values: Mapping[str, Any]) -> Self:
        """A journal with settings by name.

        Raises:
            ConfigError: a setting is unknown; and what the constructor raises.
        """
        return cls(url, build(cls.Config, values, where="store"))

    def _check_durability(self) -> None:
        found = {**self._server.config_get("appendonly"), **self._server.config_get("appendfsync")}
        if found != {"appendonly": "yes", "appendfsync": "always"}:
            raise StoreError(
                "this Redis server may lose what it acknowledged; set appendonly yes and "
                "appendfsync always, or open the store with ?durability=relaxed"
            )

    @property
    def last_offset(self) -> int:
        """See :attr:`Journal.last_offset`."""
        return int(self._guard(lambda: self._server.get(f"{self._prefix}:head")) or 0)

    # ------------------------------------------------------------------ rows

    def _find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        if not ids:
            return {}
        found = self._guard(lambda: self._server.hmget(f"{self._prefix}:ids", ids))
        return {row.id: row for row in self._fetch([int(o) for o in found if o is not None])}

    def _write(self, rows: Sequence[Sealed]) -> None:
        values: list[bytes | int] = [rows[0].offset - 1]
        for row in rows:
            owner = b"" if row.owner == NOBODY else row.owner
            code = 0 if row.erased else row.code
            values += [row.offset, row.id, owner, code, row.frame()]
        if not self._guard(lambda: self._script(keys=[self._prefix], args=values)):
            raise RacedError

    def _rows(self, after: int, limit: int, codes: Collection[int] | None) -> list[Sealed]:
        if codes is not None and min(codes, default=0) >= RARE:
            return self._fetch(self._rare(codes, after)[:limit])
        last, found = self.last_offset, list[Sealed]()
        while after < last and len(found) < limit:
            until = min(after + limit, last)
            page = self._fetch(range(after + 1, until + 1))
            found += [r for r in page if codes is None or (not r.erased and r.code in codes)]
            after = until
        return found[:limit]

    def _rare(self, codes: Collection[int], after: int) -> list[int]:
        lists = [
            self._guard(partial(self._server.lrange, f"{self._prefix}:kind:{code}", 0, -1))
            for code in codes
        ]
        return sorted(o for offsets in lists for o in map(int, offsets) if o > after)

    def _owner_rows(
        self, token: bytes, limit: int | None, codes: Collection[int] | None
    ) -> list[Sealed]:
        name = f"{self._prefix}:owner:".encode() + token
        newest = limit if limit is not None and codes is None else None
        start = 0 if newest is None else -newest
        offsets = self._guard(lambda: self._server.lrange(name, start, -1))
        rows = [r for r in self._fetch(map(int, offsets)) if codes is None or r.code in codes]
        return rows if limit is None else rows[-limit:]

    def _fetch(self, offsets: Iterable[int]) -> list[Sealed]:
        wanted = list(offsets)
        if not wanted:
            return []
        frames: list[Any] = self._guard(lambda: self._server.hmget(f"{self._prefix}:rows", wanted))
        pairs = zip(wanted, frames, strict=True)
        return [parse(frame, offset) for offset, frame in pairs if frame is not None]

    def _blank(self, token: bytes) -> None:
        rows = self._owner_rows(token, None, None)

        def work() -> None:
            pipeline = self._server.pipeline(transaction=True)
            for row in rows:
                pipeline.hset(f"{self._prefix}:rows", str(row.offset), row.blank().frame())
                if row.code >= RARE:
                    pipeline.lrem(f"{self._prefix}:kind:{row.code}", 0, str(row.offset))
            pipeline.delete(f"{self._prefix}:owner:".encode() + token)
            pipeline.execute()
            self._rewrite_files()

        self._guard(work)

    def _rewrite_files(self) -> None:
        """Have the server write its files anew and wait: they remember what was overwritten."""
        state = self._server.info("persistence")
        if state.get("aof_enabled"):
            flags = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
            self._anew(self._server.bgrewriteaof, *flags)
        if state.get("rdb_last_save_time") and self._server.config_get("save").get("save"):
            self._anew(self._server.bgsave, "rdb_bgsave_in_progress")

    def _anew(self, begin: Callable[[], Any], *flags: str) -> None:
        """Have files written after those under way, which may hold what stood there before."""
        while True:
            self._wait(*flags)
            try:
                begin()
                break
            except redis.ResponseError as error:
                if "in progress" not in str(error):
                    raise
                time.sleep(0.01)  # another has begun one meanwhile
        self._wait(*flags)

    def _wait(self, *flags: str) -> None:
        while any(self._server.info("persistence").get(flag) for flag in flags):
            time.sleep(0.01)

    def _guard(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except redis.RedisError as error:
            raise StoreError(f"Redis: {error}; nothing of this call is acknowledged") from None

    def close(self) -> None:
        """See :meth:`Journal.close`."""
        super().close()
        self._server.close()
