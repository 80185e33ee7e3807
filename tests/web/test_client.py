"""The client: typed answers, and the service's own errors."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from quintet.client import AsyncClient, Client
from quintet.errors import InvalidRequestError, UnauthorizedError, UnknownIdError
from tests.web.running import Running, keys_file


def test_the_whole_way(running) -> None:
    user, item = "c/1 é", running.ids("items")[0]
    with Client(running.url) as client:
        assert client.ready()
        assert client.send({"event_id": "c1", "user_id": user, "item_id": item}).accepted == 1
        assert client.send([{"event_id": "c1", "user_id": user, "item_id": item}]).duplicates == 1
        answer = client.recommend(user_id=user, k=3)
        assert [one.rank for one in answer.items] == [1, 2, 3]
        assert client.profile(user, export=True).history[0]["item_id"] == item
        assert client.score(user_id=user, items=[item]).items[0].item_id == item
        assert client.similar(item, k=2).items[0].rank == 1
        assert client.explain(user_id=user, item_id=item).item_id == item
        muted = answer.items[0].item_id
        assert client.edit_profile(user, mute_items={muted: True}).edits
        assert muted not in [one.item_id for one in client.recommend(user_id=user).items]
        assert client.put_items([{"item_id": "c new"}]).added == 1
        assert client.model().items == len(running.ids("items")) + 1
        assert client.experiments().experiments == []
        assert client.erase(user).records >= 1
        with pytest.raises(UnknownIdError):
            client.profile(user)
        with pytest.raises(InvalidRequestError, match="k: Input should be"):
            client.recommend(user_id=user, k=0)


def test_the_same_in_coroutines(running) -> None:
    async def ask() -> None:
        async with AsyncClient(running.url) as client:
            told = await client.send({"event_id": "a1", "user_id": "a", "item_id": "i1"})
            assert told.accepted == 1
            lists = await asyncio.gather(*(client.recommend(user_id="a", k=2) for _ in range(20)))
            assert len({one.request_id for one in lists}) == 20
            with pytest.raises(UnknownIdError):
                await client.similar("nothing")

    asyncio.run(ask())


def test_both_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(one).parameters)
            for name, one in vars(kind).items()
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_keys(bundle, tmp_path) -> None:
    keys = keys_file(tmp_path / "keys.json", reader=["read"])
    with Running(bundle, tmp_path / "state", keys=tmp_path / "keys.json") as server:
        with Client(server.url, keys["reader"]) as client:
            assert client.recommend(user_id="u1").items
        with Client(server.url) as client, pytest.raises(UnauthorizedError, match="valid key"):
            client.recommend(user_id="u1")
