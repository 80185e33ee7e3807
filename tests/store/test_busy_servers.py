"""Erasure on servers that are busy with something else at that moment."""

from __future__ import annotations

import contextlib

import psycopg
import pytest
import redis

from quintet.errors import StoreError
from quintet.store import Owner, open_store

from .conftest import event

ANN = Owner.user("ann")


def test_redis_rewrites_its_files_after_the_rewriting_under_way(redis_server) -> None:
    journal = open_store(f"{redis_server.url}?prefix=busy")
    server = redis.Redis.from_url(redis_server.url)
    for number in range(1, 30, 3):
        journal.append([event(number)])
        with contextlib.suppress(redis.ResponseError):  # one is in progress already
            server.bgrewriteaof()
        assert journal.erase(ANN).n_records == 1
    server.close()
    journal.close()


def test_postgres_says_that_somebody_reads_and_ends_it_when_asked_again(postgres_server) -> None:
    journal = open_store(f"{postgres_server.url}?db_schema=busy")
    journal.append([event(1)])
    with psycopg.connect(postgres_server.url) as reader:
        reader.execute("SELECT count(*) FROM busy.keys")  # a transaction that stays open
        with pytest.raises(StoreError, match="lock timeout"):
            journal.erase(ANN)
        assert list(journal.read_owner(ANN)) == []
    assert journal.erase(ANN).n_records == 1
    journal.append([event(2)])
    assert [one.record.event_id for one in journal.read_owner(ANN)] == ["event-2"]
    journal.close()
