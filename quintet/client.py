"""A typed client of the service, plain and async, made of the same models as the service itself.

::

    from quintet.client import Client

    with Client("http://127.0.0.1:8080") as client:
        client.send({"event_id": "e-1", "user_id": "u1", "item_id": "i7", "behaviour": "view"})
        for item in client.recommend(user_id="u1", k=5).items:
            print(item.rank, item.item_id)

Both classes have the same methods; those of :class:`AsyncClient` are awaited. What the service
refuses is raised as the error of ``quintet.errors`` that it raised itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from quintet.errors import (
    ForbiddenError,
    InvalidRequestError,
    MissingExtraError,
    OverloadedError,
    RequestError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnknownIdError,
)
from quintet.web import models as m

try:
    import httpx
except ImportError:
    raise MissingExtraError("quintet.client", "client") from None

A = TypeVar("A", bound=BaseModel)
Id = str | int
Event = Mapping[str, Any] | m.EventIn
TIMEOUT = 10.0
ERRORS: dict[int, type[RequestError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    413: TooLargeError,
    422: InvalidRequestError,
    429: TooManyRequestsError,
    503: OverloadedError,
}


class _Ask:
    """One request: method, path, body, query."""

    def __init__(self, method: str, path: str, body: Any = None, query: Any = None) -> None:
        self.method, self.path = method, path
        self.options: dict[str, Any] = {}
        if body is not None:
            self.options["json"] = _plain(body)
        if query:
            self.options["params"] = {k: v for k, v in query.items() if v is not None}


def _plain(body: Any) -> Any:
    if isinstance(body, BaseModel):
        return body.model_dump(mode="json", exclude_unset=True)
    if isinstance(body, Mapping):
        return {key: _plain(value) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [_plain(value) for value in body]
    return body


def _read(response: httpx.Response, answer: type[A]) -> A:
    if response.status_code < 400:
        return answer.model_validate_json(response.content)
    try:
        found = m.Problem.model_validate_json(response.content)
        words = found.detail or found.title
        for one in found.errors or []:
            words += f"; {one.get('where')}: {one.get('what')}"
    except ValueError:
        words = f"the service answered {response.status_code}"
    if response.status_code == 404:
        raise UnknownIdError(words)
    wait = response.headers.get("retry-after")
    otherwise = OverloadedError if response.status_code >= 500 else RequestError
    kind = ERRORS.get(response.status_code, otherwise)
    raise kind(words, float(wait) if wait else None)


def _events(events: Event | Iterable[Event]) -> _Ask:
    single = isinstance(events, Mapping | m.EventIn)
    listed = [events] if single else list(events)
    return _Ask("POST", "/v1/events", {"events": listed})


def _items(items: Iterable[Mapping[str, Any] | m.ItemIn]) -> _Ask:
    return _Ask("POST", "/v1/items", {"items": list(items)})


def _person(user: Id) -> str:
    return f"/v1/profile/{quote(str(user), safe='')}"


def _headers(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


class Client:
    """The service, one call after the other.

    Args:
        url: of the service.
        key: as ``quintet keys add`` printed it.
        timeout: seconds for one call.
        transport: in place of the network, for tests.

    Raises:
        RequestError: (all methods) the service refused; its subclasses say why.
        UnknownIdError: (all methods) it does not know an id.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=url, headers=_headers(key), timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _ask(self, ask: _Ask, answer: type[A]) -> A:
        return _read(self._http.request(ask.method, ask.path, **ask.options), answer)

    def send(self, events: Event | Iterable[Event]) -> m.EventsOut:
        """Store one event or several; they are on disk when this returns."""
        return self._ask(_events(events), m.EventsOut)

    def recommend(self, **question: Any) -> m.RecommendOut:
        """A list; the arguments are the fields of :class:`quintet.web.models.RecommendIn`."""
        return self._ask(_Ask("POST", "/v1/recommend", question), m.RecommendOut)

    def score(self, **question: Any) -> m.ScoreOut:
        """Scores; the arguments are the fields of :class:`quintet.web.models.ScoreIn`."""
        return self._ask(_Ask("POST", "/v1/score", question), m.ScoreOut)

    def similar(self, item: Id, k: int = 10) -> m.SimilarOut:
        """Items near to one."""
        path = f"/v1/similar/{quote(str(item), safe='')}"
        return self._ask(_Ask("GET", path, query={"k": k}), m.SimilarOut)

    def explain(self, **question: Any) -> m.ExplainOut:
        """Reasons; the arguments are the fields of :class:`quintet.web.models.ExplainIn`."""
        return self._ask(_Ask("POST", "/v1/explain", question), m.ExplainOut)

    def profile(self, user: Id, *, export: bool = False) -> m.ProfileOut:
        """What the model makes of a user."""
        query = {"export": "true"} if export else None
        return self._ask(_Ask("GET", _person(user), query=query), m.ProfileOut)

    def edit_profile(self, user: Id, **changes: Any) -> m.ProfileOut:
        """Correct, mute, forget: fields of :class:`quintet.web.models.ProfileEditIn`."""
        return self._ask(_Ask("PATCH", _person(user), changes), m.ProfileOut)

    def erase(self, user: Id) -> m.ErasedOut:
        """Erase a user."""
        path = f"/v1/users/{quote(str(user), safe='')}"
        return self._ask(_Ask("DELETE", path), m.ErasedOut)

    def put_items(self, items: Iterable[Mapping[str, Any] | m.ItemIn]) -> m.ItemsOut:
        """Add, change or retire items."""
        return self._ask(_items(items), m.ItemsOut)

    def experiments(self) -> m.ExperimentsOut:
        """All experiments."""
        return self._ask(_Ask("GET", "/v1/experiments"), m.ExperimentsOut)

    def put_experiment(self, **experiment: Any) -> m.ExperimentsOut:
        """Start, change or end one: fields of :class:`quintet.web.models.ExperimentIn`."""
        return self._ask(_Ask("POST", "/v1/experiments", experiment), m.ExperimentsOut)

    def model(self) -> m.ModelOut:
        """What is served."""
        return self._ask(_Ask("GET", "/v1/model"), m.ModelOut)

    def swap_model(self, name: str | None = None, *, rollback: bool = False) -> m.ModelOut:
        """Serve another bundle, or the one before."""
        body = {"name": name, "rollback": rollback}
        return self._ask(_Ask("POST", "/v1/model", body), m.ModelOut)

    def ready(self) -> bool:
        """Whether the service takes traffic."""
        return self._http.get("/health/ready").status_code == 200


class AsyncClient:
    """The service in coroutines; see :class:`Client`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key), timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _ask(self, ask: _Ask, answer: type[A]) -> A:
        return _read(await self._http.request(ask.method, ask.path, **ask.options), answer)

    async def send(self, events: Event | Iterable[Event]) -> m.EventsOut:
        """See :meth:`Client.send`."""
        return await self._ask(_events(events), m.EventsOut)

    async def recommend(self, **question: Any) -> m.RecommendOut:
        """See :meth:`Client.recommend`."""
        return await self._ask(_Ask("POST", "/v1/recommend", question), m.RecommendOut)

    async def score(self, **question: Any) -> m.ScoreOut:
        """See :meth:`Client.score`."""
        return await self._ask(_Ask("POST", "/v1/score", question), m.ScoreOut)

    async def similar(self, item: Id, k: int = 10) -> m.SimilarOut:
        """See :meth:`Client.similar`."""
        path = f"/v1/similar/{quote(str(item), safe='')}"
        return await self._ask(_Ask("GET", path, query={"k": k}), m.SimilarOut)

    async def explain(self, **question: Any) -> m.ExplainOut:
        """See :meth:`Client.explain`."""
        return await self._ask(_Ask("POST", "/v1/explain", question), m.ExplainOut)

    async def profile(self, user: Id, *, export: bool = False) -> m.ProfileOut:
        """See :meth:`Client.profile`."""
        query = {"export": "true"} if export else None
        return await self._ask(_Ask("GET", _person(user), query=query), m.ProfileOut)

    async def edit_profile(self, user: Id, **changes: Any) -> m.ProfileOut:
        """See :meth:`Client.edit_profile`."""
        return await self._ask(_Ask("PATCH", _person(user), changes), m.ProfileOut)

    async def erase(self, user: Id) -> m.ErasedOut:
        """See :meth:`Client.erase`."""
        path = f"/v1/users/{quote(str(user), safe='')}"
        return await self._ask(_Ask("DELETE", path), m.ErasedOut)

    async def put_items(self, items: Iterable[Mapping[str, Any] | m.ItemIn]) -> m.ItemsOut:
        """See :meth:`Client.put_items`."""
        return await self._ask(_items(items), m.ItemsOut)

    async def experiments(self) -> m.ExperimentsOut:
        """See :meth:`Client.experiments`."""
        return await self._ask(_Ask("GET", "/v1/experiments"), m.ExperimentsOut)

    async def put_experiment(self, **experiment: Any) -> m.ExperimentsOut:
        """See :meth:`Client.put_experiment`."""
        return await self._ask(_Ask("POST", "/v1/experiments", experiment), m.ExperimentsOut)

    async def model(self) -> m.ModelOut:
        """See :meth:`Client.model`."""
        return await self._ask(_Ask("GET", "/v1/model"), m.ModelOut)

    async def swap_model(self, name: str | None = None, *, rollback: bool = False) -> m.ModelOut:
        """See :meth:`Client.swap_model`."""
        body = {"name": name, "rollback": rollback}
        return await self._ask(_Ask("POST", "/v1/model", body), m.ModelOut)

    async def ready(self) -> bool:
        """See :meth:`Client.ready`."""
        return (await self._http.get("/health/ready")).status_code == 200
