"""Keys of owners in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from quintet.errors import StoreError
from quintet.store.keys import Key, KeyStore, new_secret, new_token


class RedisKeys(KeyStore):
    """Keys in the journal's own server.

    ``secrets`` holds token -> secret, ``tokens`` owner -> token, ``owners`` token -> owner;
    ``shredded`` the tokens of erasures under way.
    """

    def __init__(self, server: Any, prefix: str, guard: Callable[[Callable[[], Any]], Any]) -> None:
        self._server, self._prefix, self._guard = server, prefix, guard
        name = f"{prefix}:pepper"
        guard(lambda: server.set(name, new_secret(), nx=True))
        self.pepper = guard(lambda: server.get(name))

    def _hash(self, name: str, fields: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = list(fields)
        if not wanted:
            return {}
        found = self._guard(lambda: self._server.hmget(f"{self._prefix}:{name}", wanted))
        return {f: value for f, value in zip(wanted, found, strict=True) if value is not None}

    def find(self, owners: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.find`."""
        tokens = self._hash("tokens", owners)
        secrets = self._hash("secrets", tokens.values())
        pairs = [(owner, token) for owner, token in tokens.items() if secrets.get(token)]
        return {owner: Key(owner, token, secrets[token]) for owner, token in pairs}

    def by_token(self, tokens: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.by_token`."""
        secrets = {
            token: secret for token, secret in self._hash("secrets", tokens).items() if secret
        }
        owners = self._hash("owners", secrets)
        return {t: Key(owners[t], t, secret) for t, secret in secrets.items() if t in owners}

    def add(self, owners: Sequence[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.add`."""
        self._insert([Key(owner, new_token(), new_secret()) for owner in owners])
        return self.find(owners)

    def _insert(self, keys: Iterable[Key]) -> None:
        """Keys of owners that have none; in one step, so that no owner gets two."""
        script = self._server.register_script(
            "for i = 1, #ARGV, 3 do "
            "if redis.call('HSETNX', KEYS[1] .. ':tokens', ARGV[i], ARGV[i + 1]) == 1 then "
            "redis.call('HSET', KEYS[1] .. ':owners', ARGV[i + 1], ARGV[i]) "
            "redis.call('HSET', KEYS[1] .. ':secrets', ARGV[i + 1], ARGV[i + 2]) end end"
        )
        values = [part for key in keys for part in (key.owner, key.token, key.secret)]
        self._guard(lambda: script(keys=[self._prefix], args=values))

    def shred(self, owner: bytes) -> bytes | None:
        """See :meth:`KeyStore.shred`."""
        script = self._server.register_script(
            "local t = redis.call('HGET', KEYS[1] .. ':tokens', ARGV[1]) "
            "if not t then return nil end "
            "redis.call('HSET', KEYS[1] .. ':secrets', t, '') "
            "redis.call('SADD', KEYS[1] .. ':shredded', t) "
            "redis.call('HDEL', KEYS[1] .. ':tokens', ARGV[1]) return t"
        )
        token: bytes | None = self._guard(lambda: script(keys=[self._prefix], args=[owner]))
        return token

    def forget(self, token: bytes) -> None:
        """See :meth:`KeyStore.forget`."""
        for name in ("secrets", "owners"):
            self._guard(partial(self._server.hdel, f"{self._prefix}:{name}", token))

        self._guard(lambda: self._server.srem(f"{self._prefix}:shredded", token))

    def _all(self) -> list[Key]:
        secrets = self._guard(lambda: self._server.hgetall(f"{self._prefix}:secrets"))
        owners = self._guard(lambda: self._server.hgetall(f"{self._prefix}:owners"))
        return [Key(owners[token], token, secret) for token, secret in secrets.items()]

    def shredded(self) -> list[Key]:
        """See :meth:`KeyStore.shredded`."""
        tokens = self._guard(lambda: self._server.smembers(f"{self._prefix}:shredded"))
        return [Key(owner, token, b"") for token, owner in self._hash("owners", tokens).items()]

    def everything(self) -> list[Key]:
        """See :meth:`KeyStore.everything`."""
        return [key for key in self._all() if key.secret]

    def absorb(self, pepper: bytes, keys: Iterable[Key]) -> None:
        """See :meth:`KeyStore.absorb`."""
        if pepper != self.pepper:
            if self._all():
                raise StoreError("this key store holds keys of another journal")
            self._guard(lambda: self._server.set(f"{self._prefix}:pepper", pepper))
            self.pepper = pepper
        gone = {key.token for key in self.shredded()}
        self._insert([key for key in keys if key.token not in gone])

    def copies(self) -> list[str]:
        """See :meth:`KeyStore.copies`."""
        held = self._guard(lambda: self._server.smembers(f"{self._prefix}:copies"))
        return sorted(path.decode() for path in held)

    def remember_copy(self, path: str) -> None:
        """See :meth:`KeyStore.remember_copy`."""
        self._guard(lambda: self._server.sadd(f"{self._prefix}:copies", path))

    def close(self) -> None:
        """See :meth:`KeyStore.close`; the journal closes the connection."""
