"""One small trained model for all tests of what serves and measures; nothing is trained twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

# how long an input takes to draw says how busy the machine is, and nothing about the code
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")

MARKET = {"n_users": 60, "n_items": 50, "events_per_user": 15}
TINY: dict[str, Any] = {"model": {"width": 16}, "loop": {"epochs": 1}}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """What tests keep is no one's business; what was fetched before need not be fetched again."""
    from quintet.data.sources.wheel import cache_folder

    own, fetched = tmp_path_factory.mktemp("cache"), cache_folder()
    for path in (fetched / "ml-100k", *fetched.glob("*.whl")):
        if path.exists():
            (own / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUINTET_CACHE", str(own))
        yield


@pytest.fixture(scope="session")
def market():
    """The small marketplace as a data set."""
    from quintet import open_dataset

    return open_dataset("market", [f"{name}={value}" for name, value in MARKET.items()])


@pytest.fixture(scope="session")
def fitted(market):
    """A model of the marketplace after one epoch. Shared: change nothing of it."""
    from quintet import Quintet

    return Quintet(**TINY).fit(market)


@pytest.fixture(scope="session")
def recommender(fitted):
    """What answers for :func:`fitted`."""
    return fitted.recommender


@pytest.fixture(scope="session")
def silent(recommender):
    """The same model when its first user's events are forgotten: known by attributes alone."""
    from quintet.serve.recommender import Recommender

    trained = recommender.trained
    kept = trained.events.select(trained.events.group() != 0)
    return Recommender(replace(trained, events=kept))


@dataclass
class Renamed:
    """The model of the same marketplace under other ids, and the new id of every old one."""

    model: Any
    user: dict[str, int]
    item: dict[str, int]


@pytest.fixture(scope="session")
def renamed() -> Renamed:
    """Trained anew, with whole numbers in place of texts, in an order of their own."""
    from quintet import Quintet
    from quintet.data.sources.market import MarketSource, as_dataset

    truth = MarketSource(MarketSource.Config(**MARKET)).simulate()
    user = _numbers(truth.users["user_id"], seed=1)
    item = _numbers(truth.items["item_id"], seed=2)
    ids = {"user_id": user, "item_id": item, "source_id": user, "target_id": user}
    tables = {
        name: _rename(getattr(truth, name), ids) for name in ("log", "items", "users", "relations")
    }
    return Renamed(Quintet(**TINY).fit(as_dataset(replace(truth, **tables))), user, item)


def _numbers(ids: pa.ChunkedArray, seed: int) -> dict[str, int]:
    """A number of its own for every id, in random order."""
    numbers = 1000 + np.random.default_rng(seed).permutation(len(ids))
    return dict(zip(ids.to_pylist(), numbers.tolist(), strict=True))


def _rename(table: pa.Table, ids: dict[str, dict[str, int]]) -> pa.Table:
    for name in set(table.column_names) & set(ids):
        new = pa.array([ids[name][one] for one in table[name].to_pylist()])
        table = table.set_column(table.column_names.index(name), name, new)
    return table


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def compiled_or_not(request):
    """Twice: with the loops that the extra ``fast`` compiles, and with what stands in for them."""
    if request.param == "compiled":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quintet.compiled._there", request.param == "compiled")
        yield request.param
