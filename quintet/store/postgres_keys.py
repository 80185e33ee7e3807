"""Keys of owners in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quintet.errors import StoreError
from quintet.store.keys import Key, KeyStore, new_secret, new_token

if TYPE_CHECKING:
    from quintet.store.postgres import Session

COLUMNS = "SELECT owner, token, secret FROM {schema}.keys "


class PostgresKeys(KeyStore):
    """Keys in a table of the journal's own schema."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._do(
            "INSERT INTO {schema}.pepper VALUES (true, %s) ON CONFLICT DO NOTHING", new_secret()
        )
        self.pepper = bytes(self._select("SELECT value FROM {schema}.pepper")[0][0])

    def _do(self, text: str, *values: Any) -> None:
        statement = self._session.statement(text)
        self._session.run(lambda connection: connection.execute(statement, values))

    def _select(self, text: str, *values: Any) -> list[Any]:
        statement = self._session.statement(text)
        return self._session.run(lambda c: c.execute(statement, values).fetchall())

    def _keys(self, condition: str, *values: Any) -> list[Key]:
        return [Key(*map(bytes, row)) for row in self._select(COLUMNS + condition, *values)]

    def find(self, owners: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.find`."""
        held = self._keys("WHERE owner = ANY(%s) AND secret <> ''", list(owners))
        return {key.owner: key for key in held}

    def by_token(self, tokens: Iterable[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.by_token`."""
        held = self._keys("WHERE token = ANY(%s) AND secret <> ''", list(tokens))
        return {key.token: key for key in held}

    def add(self, owners: Sequence[bytes]) -> dict[bytes, Key]:
        """See :meth:`KeyStore.add`."""
        # one order for all: two processes that insert the same owners would wait for each other
        self._insert([Key(owner, new_token(), new_secret()) for owner in sorted(owners)])
        return self.find(owners)

    def _insert(self, keys: Sequence[Key]) -> None:
        statement = self._session.statement(
            "INSERT INTO {schema}.keys (owner, token, secret) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING"
        )
        rows = [(key.owner, key.token, key.secret) for key in keys]

        def work(connection: Any) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(statement, rows)

        self._session.run(work)

    def shred(self, owner: bytes) -> bytes | None:
        """See :meth:`KeyStore.shred`."""
        found = self._select(
            "UPDATE {schema}.keys SET secret = '' WHERE owner = %s AND secret <> '' "
            "RETURNING token",
            owner,
        )
        return bytes(found[0][0]) if found else None

    def forget(self, token: bytes) -> None:
        """See :meth:`KeyStore.forget`."""
        self._do("DELETE FROM {schema}.keys WHERE token = %s AND secret = ''", token)

    def shredded(self) -> list[Key]:
        """See :meth:`KeyStore.shredded`."""
        return self._keys("WHERE secret = ''")

    def everything(self) -> list[Key]:
        """See :meth:`KeyStore.everything`."""
        return self._keys("WHERE secret <> ''")

    def absorb(self, pepper: bytes, keys: Iterable[Key]) -> None:
        """See :meth:`KeyStore.absorb`."""
        if pepper != self.pepper:
            if self._select("SELECT 1 FROM {schema}.keys LIMIT 1"):
                raise StoreError("this key store holds keys of another journal")
            self._do("UPDATE {schema}.pepper SET value = %s", pepper)
            self.pepper = pepper
        self._insert(list(keys))

    def copies(self) -> list[str]:
        """See :meth:`KeyStore.copies`."""
        return [str(row[0]) for row in self._select("SELECT path FROM {schema}.copies")]

    def remember_copy(self, path: str) -> None:
        """See :meth:`KeyStore.remember_copy`."""
        self._do("INSERT INTO {schema}.copies VALUES (%s) ON CONFLICT DO NOTHING", path)

    def close(self) -> None:
        """See :meth:`KeyStore.close`."""
        self._session.close()
