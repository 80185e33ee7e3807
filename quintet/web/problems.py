"""Errors as answers (RFC 9457), which never repeat what was sent."""

from __future__ import annotations

import http
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from quintet.errors import QuintetError, RequestError

M = TypeVar("M", bound=BaseModel)
MOST_ERRORS = 20
MEDIA_TYPE = "application/problem+json"


class Unfit(Exception):  # noqa: N818  not an error of its own: a 422 on its way
    """A body or a query does not fit its model."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("the request does not fit")
        self.errors = errors


def fitted(model: type[M], value: Any, *, strict: bool = True) -> M:
    """``value`` as the model.

    Raises:
        Unfit: it is not one; says where and why, in the model's own words.
    """
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        names = field_names(model)
        raise Unfit(
            [
                {"where": _place(one["loc"], names), "what": _what(one, model)}
                for one in found[:MOST_ERRORS]
            ]
        ) from None


def _what(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """What is wrong, in words that repeat nothing of what was sent."""
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return f"not a field here; the fields are: {', '.join(model.model_fields)}"
    return str(error["msg"])


def field_names(model: type[BaseModel]) -> set[str]:
    """Names of the model's fields and of those of the models in it."""
    names: set[str] = set()
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        names |= set(part.get("properties", {}))
    return names


def _place(location: Iterable[str | int], names: set[str]) -> str:
    """Where, with every key that is not ours left out: a key is content too."""
    return ".".join(str(p) if isinstance(p, int) or p in names else "*" for p in location)


def problem(
    status: int,
    detail: str | None = None,
    *,
    request_id: str | None = None,
    errors: list[dict[str, Any]] | None = None,
    retry_after: float | None = None,
) -> Response:
    """An error's answer."""
    body: dict[str, Any] = {"title": http.HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail} if detail else {}
    body |= {"request_id": request_id} if request_id else {}
    body |= {"errors": errors} if errors else {}
    headers = {"cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def of_error(error: QuintetError, request_id: str) -> Response:
    """The answer to an error that quintet raised on purpose.

    Only requests' own errors and unknown ids speak for themselves: others may name files of the
    machine.
    """
    status = error.http_status
    retry_after = error.retry_after if isinstance(error, RequestError) else None
    if status >= 500 and not isinstance(error, RequestError):
        return problem(status, "the service cannot do that now", request_id=request_id)
    return problem(status, str(error), request_id=request_id, retry_after=retry_after)
