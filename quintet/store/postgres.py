"""A journal in PostgreSQL, for several processes and machines.

A group of records is one transaction with ``synchronous_commit`` on. It locks the one row that
holds the newest offset, so offsets follow the order of commits and no reader can pass a gap, and
it locks its owners' keys, so that no erasure slips between sealing and storing.

Erasing rewrites the table of keys (``VACUUM FULL``), because dead rows would keep the secret. The
server's write-ahead log holds such a row until its segment is used again: see the decision page.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Self, TypeVar

from pydantic import Field

from quintet.config import build
from quintet.errors import MissingExtraError, StoreError
from quintet.store.seal import NOBODY, Sealed, parse
from quintet.store.sealed_journal import RacedError, SealedJournal

try:
    import psycopg
    from psycopg import sql

    from quintet.store.postgres_keys import PostgresKeys
except ImportError:
    raise MissingExtraError("a journal in PostgreSQL", "postgres") from None

Result = TypeVar("Result")
TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.records (
    "offset" bigint PRIMARY KEY, code smallint NOT NULL, id bytea NOT NULL UNIQUE, owner bytea,
    frame bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS records_owner ON {schema}.records (owner, "offset")
    WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_kind ON {schema}.records (code, "offset") WHERE code > 2;
CREATE TABLE IF NOT EXISTS {schema}.head (one boolean PRIMARY KEY CHECK (one), "offset" bigint);
INSERT INTO {schema}.head VALUES (true, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS {schema}.keys (
    token bytea PRIMARY KEY, owner bytea NOT NULL, secret bytea NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS keys_owner ON {schema}.keys (owner) WHERE secret <> '';
CREATE INDEX IF NOT EXISTS keys_shredded ON {schema}.keys (token) WHERE secret = '';
CREATE TABLE IF NOT EXISTS {schema}.pepper (one boolean PRIMARY KEY CHECK (one), value bytea);
CREATE TABLE IF NOT EXISTS {schema}.copies (path text PRIMARY KEY);
"""
#: two processes that open at once would trip over each other's tables
SETUP_LOCK = 0x51554E54


class Session:
    """One connection, used by one thread at a time and made anew once it broke."""

    def __init__(self, url: str, schema: str, timeout: float) -> None:
        self._url, self._schema, self._timeout = url, schema, timeout
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None

    def run(self, work: Callable[[psycopg.Connection[Any]], Result]) -> Result:
        """``work`` in one transaction, durable when it returns.

        Raises:
            StoreError: the server refuses or is gone; nothing of the transaction counts.
        """
        with self._lock:
            try:
                connection = self._open()
                with connection.transaction():
                    return work(connection)
            except psycopg.errors.UniqueViolation:
                raise RacedError from None
            except psycopg.Error as error:
                raise self._refused(error) from None

    def statement(self, text: str) -> sql.Composed:
        """A statement with the schema's name in it."""
        return sql.SQL(text).format(schema=sql.Identifier(self._schema))

    def maintain(self, text: str) -> None:
        """A statement that runs in no transaction, such as VACUUM.

        It waits a second for who reads meanwhile: whoever asks after it would wait behind it.

        Raises:
            StoreError: the server refuses or is gone, or somebody reads for longer.
            InsufficientPrivilege: of psycopg; this user may not.
        """
        with self._lock:
            try:
                connection = self._open()
                connection.execute("SET lock_timeout = '1s'")
                try:
                    connection.execute(self.statement(text))
                finally:
                    if not connection.broken:
                        connection.execute("RESET lock_timeout")
            except psycopg.errors.InsufficientPrivilege:
                raise
            except psycopg.Error as error:
                raise self._refused(error) from None

    def _refused(self, error: psycopg.Error) -> StoreError:
        if self._connection is not None and self._connection.broken:
            self._connection = None
        reason = str(error).strip().splitlines()[:1]
        return StoreError(f"PostgreSQL: {''.join(reason)}; nothing of this call is acknowledged")

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            limit = int(self._timeout * 1000)
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(int(self._timeout), 2),
                options=f"-c synchronous_commit=on -c statement_timeout={limit}",
            )
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()


class PostgresJournal(SealedJournal):
    """A journal in a PostgreSQL database; see the module's docstring.

    Args:
        url: ``postgresql://user@host/database``.
        config: see :class:`Config`.

    Raises:
        StoreError: the server cannot be reached, or does not flush what it commits.
    """

    class Config(SealedJournal.Config):
        """Settings of a journal in PostgreSQL."""

        db_schema: str = Field(default="quintet", min_length=1, description="of all tables")
        durability: Literal["always", "relaxed"] = Field(
            default="always", description="relaxed: an acknowledged record may be lost in a crash"
        )
        timeout: float = Field(default=10.0, gt=0, description="seconds that a statement may take")

    def __init__(self, url: str, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        parts = url, settings.db_schema, settings.timeout
        self._writing, self._reading, keys = (Session(*parts) for _ in range(3))
        self._writing.run(self._set_up)
        if settings.durability == "always":
            self._check_durability()
        super().__init__(PostgresKeys(keys), settings)

    @classmethod
    def open(cls, url: str, values: Mapping[str, Any]) -> Self:
        """A journal with settings by name.

        Raises:
            ConfigError: a setting is unknown; and what the constructor raises.
        """
        return cls(url, build(cls.Config, values, where="store"))

    def _set_up(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
        connection.execute(self._writing.statement(TABLES))

    def _check_durability(self) -> None:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            setting = self._select("SELECT current_setting(%s)", name)[0][0]
            if setting in ("off", "local"):
                raise StoreError(
                    f"this PostgreSQL server may lose what it acknowledged: {name} is off; "
                    "turn it on, or open the store with ?durability=relaxed"
                )

    @property
    def last_offset(self) -> int:
        """See :attr:`Journal.last_offset`."""
        row = self._select('SELECT "offset" FROM {schema}.head')
        return int(row[0][0])

    # ------------------------------------------------------------------ rows

    def _select(self, text: str, *values: Any) -> list[Any]:
        session = self._reading
        return session.run(lambda c: c.execute(session.statement(text), values).fetchall())

    def _find(self, ids: Sequence[bytes]) -> dict[bytes, Sealed]:
        if not ids:
            return {}
        hits = self._select('SELECT "offset", frame FROM {schema}.records WHERE id = ANY(%s)', ids)
        return {row.id: row for row in _parsed(hits)}

    def _write(self, rows: Sequence[Sealed]) -> None:
        statement = self._writing.statement
        owners = list({row.owner for row in rows} - {NOBODY})
        columns = [_columns(row) for row in rows]

        def work(connection: psycopg.Connection[Any]) -> None:
            head = connection.execute(
                statement('SELECT "offset" FROM {schema}.head FOR UPDATE')
            ).fetchone()
            held = connection.execute(
                statement(
                    "SELECT token FROM {schema}.keys "
                    "WHERE token = ANY(%s) AND secret <> '' FOR SHARE"
                ),
                (owners,),
            ).fetchall()
            if head is None or head[0] + 1 != rows[0].offset or len(held) < len(owners):
                raise RacedError
            with connection.cursor() as cursor:
                copy = 'COPY {schema}.records ("offset", code, id, owner, frame) FROM STDIN'
                with cursor.copy(statement(copy)) as stream:
                    for row in columns:
                        stream.write_row(row)
            connection.execute(
                statement('UPDATE {schema}.head SET "offset" = %s'), (rows[-1].offset,)
            )

        self._writing.run(work)

    def _rows(self, after: int, limit: int, codes: Collection[int] | None) -> list[Sealed]:
        where, values = _of_kind(codes)
        return _parsed(
            self._select(
                f'SELECT "offset", frame FROM {{schema}}.records WHERE "offset" > %s{where} '  # noqa: S608 - marks
                'ORDER BY "offset" LIMIT %s',
                after,
                *values,
                limit,
            )
        )

    def _owner_rows(
        self, token: bytes, limit: int | None, codes: Collection[int] | None
    ) -> list[Sealed]:
        where, values = _of_kind(codes)
        hits = self._select(
            f'SELECT "offset", frame FROM {{schema}}.records WHERE owner = %s{where} '  # noqa: S608 - marks
            'ORDER BY "offset" DESC LIMIT %s',
            token,
            *values,
            limit,
        )
        return _parsed(hits)[::-1]

    def _blank(self, token: bytes) -> None:
        rows = self._owner_rows(token, None, None)
        text = 'UPDATE {schema}.records SET code = 0, owner = NULL, frame = %s WHERE "offset" = %s'
        update = self._writing.statement(text)
        blanks = [(row.blank().frame(), row.offset) for row in rows]

        def work(connection: psycopg.Connection[Any]) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(update, blanks)

        self._writing.run(work)
        with suppress(psycopg.errors.InsufficientPrivilege):
            self._writing.maintain("VACUUM FULL {schema}.keys")

    def close(self) -> None:
        """See :meth:`Journal.close`."""
        super().close()
        self._writing.close()
        self._reading.close()


def _parsed(hits: Sequence[Any]) -> list[Sealed]:
    return [parse(bytes(frame), int(offset)) for offset, frame in hits]


def _columns(row: Sealed) -> tuple[int, int, bytes, bytes | None, bytes]:
    code, owner = (0, None) if row.erased else (row.code, row.owner)
    return row.offset, code, row.id, None if owner == NOBODY else owner, row.frame()


def _of_kind(codes: Collection[int] | None) -> tuple[str, tuple[list[int], ...]]:
    if codes is None:
        return "", ()
    rare = " AND code > 2" if min(codes, default=0) > 2 else ""  # lets the partial index serve
    return f"{rare} AND code = ANY(%s)", (list(codes),)
