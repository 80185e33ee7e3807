"""Who may ask what: keys hashed at rest, scopes, rates and quotas.

A key is ``qk_<id>_<secret>`` with 256 random bits of secret, so that one SHA-256 is enough at rest:
there is nothing to guess. The keys file is read again when it changes, which is how a key is added
or revoked without a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quintet.errors import ConfigError, ForbiddenError, TooManyRequestsError, UnauthorizedError
from quintet.files import write_json_atomic

Scope = Literal["read", "write", "admin", "public"]
SCOPES: tuple[str, ...] = ("read", "write", "admin")
KEY = re.compile(r"qk_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
CHECK_SECONDS = 0.25
DAY = 86_400.0


class KeyRecord(BaseModel):
    """One key as the file holds it: everything but the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern="^[a-z0-9]{8}$")
    name: str = ""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: tuple[Literal["read", "write", "admin"], ...]
    rate: float = Field(default=1000.0, gt=0, description="requests a second")
    burst: int = Field(default=2000, gt=0, description="requests at once")
    daily: int | None = Field(default=None, gt=0, description="requests a day")


@dataclass
class Allowance:
    """What is left of a key's rate and quota; each worker grants its own share."""

    tokens: float
    at: float
    day: int = -1
    used: int = 0


@dataclass(frozen=True)
class Caller:
    """Who asks: the id of the key, empty where none is needed, and its scopes."""

    key: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)


#: who needs no key
NOBODY = Caller()


def new_key(
    name: str, scopes: Iterable[str], *, rate: float = 1000.0, daily: int | None = None
) -> tuple[str, KeyRecord]:
    """A key to hand out once, and what is kept of it."""
    known, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    burst = max(1, round(2 * rate))
    record = KeyRecord.model_validate(
        {
            "id": known,
            "name": name,
            "sha256": digest,
            "scopes": tuple(scopes),
            "rate": rate,
            "burst": burst,
            "daily": daily,
        }
    )
    return f"qk_{known}_{secret}", record


def read_keys(path: Path) -> dict[str, KeyRecord]:
    """The keys of a file, by id.

    Raises:
        ConfigError: the file is missing or is no keys file.
    """
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["keys"]
        records = [KeyRecord.model_validate(one) for one in listed]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; make one with: quintet keys add") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, ValidationError):
        raise ConfigError(f"{path}: not a keys file; make one with: quintet keys add") from None
    return {record.id: record for record in records}


def write_keys(path: Path, keys: Iterable[KeyRecord]) -> None:
    """Write a keys file, whole or not at all, for its owner only."""
    write_json_atomic(path, {"keys": [record.model_dump() for record in keys]})
    path.chmod(0o600)


class Gatekeeper:
    """Checks keys, scopes, rates and quotas.

    Args:
        path: the keys file; without one everybody may do everything.
        workers: processes that share a key's rate and quota; each grants an equal part.
    """

    def __init__(self, path: Path | None = None, workers: int = 1) -> None:
        self.path = path
        self.workers = workers
        self.fault = ""
        self._keys = read_keys(path) if path is not None else {}
        self._stamp = self._stamped()
        self._checked = time.monotonic()
        self._left: dict[str, Allowance] = {}

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return self.path is None

    def admit(self, authorization: str | None, scope: str, now: float | None = None) -> Caller:
        """Let a request pass, and count it.

        Args:
            authorization: the header's value.
            scope: what the route asks for; "public" routes ask for nothing.
            now: seconds, of a monotonic clock.

        Raises:
            UnauthorizedError: there is no valid key.
            ForbiddenError: it lacks the scope.
            TooManyRequestsError: its rate or quota is used up.
        """
        if scope == "public" or self.open:
            return NOBODY
        at = time.monotonic() if now is None else now
        if at - self._checked > CHECK_SECONDS:
            self._refresh(at)
        record = self._identify(authorization)
        if scope not in record.scopes:
            raise ForbiddenError(f"this key lacks the scope {scope!r}")
        self._count(record, at)
        return Caller(record.id, frozenset(record.scopes))

    def _identify(self, authorization: str | None) -> KeyRecord:
        match = KEY.fullmatch((authorization or "").removeprefix("Bearer "))
        record = self._keys.get(match[1]) if match else None
        secret = match[2] if match else ""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        # compared also where no such key is known, so that time does not tell which ids exist
        same = hmac.compare_digest(digest, record.sha256 if record is not None else "0" * 64)
        if record is None or not same:
            raise UnauthorizedError("send a valid key: Authorization: Bearer qk_...")
        return record

    def _count(self, record: KeyRecord, at: float) -> None:
        rate, burst = record.rate / self.workers, max(record.burst / self.workers, 1.0)
        left = self._left.setdefault(record.id, Allowance(burst, at))
        left.tokens = min(burst, left.tokens + (at - left.at) * rate)
        left.at = at
        if left.tokens < 1:
            wait = (1 - left.tokens) / rate
            raise TooManyRequestsError("the rate of this key is used up", max(wait, 0.001))
        if record.daily is not None:
            clock = time.time()
            if left.day != int(clock // DAY):
                left.day, left.used = int(clock // DAY), 0
            if left.used >= max(record.daily // self.workers, 1):
                wait = DAY - clock % DAY
                raise TooManyRequestsError("the quota of this key is used up for today", wait)
            left.used += 1
        left.tokens -= 1

    def _stamped(self) -> tuple[int, int, int] | None:
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _refresh(self, at: float) -> None:
        """Take the file's keys if it changed; one that cannot be read admits nobody."""
        self._checked = at
        stamp = self._stamped()
        if stamp == self._stamp and not self.fault:
            return
        self._stamp = stamp
        assert self.path is not None
        try:
            self._keys, self.fault = read_keys(self.path), ""
        except ConfigError:
            self._keys, self.fault = {}, "the keys file cannot be read: no key is valid"
