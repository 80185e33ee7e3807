"""The service's description (OpenAPI 3.1), written from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from quintet.web.api import JSON, Route
from quintet.web.models import Problem

PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
REFERENCE = "#/components/schemas/{model}"
ERRORS = {
    401: "no valid key",
    403: "the key lacks the scope",
    404: "not known",
    422: "the request cannot be used",
    429: "rate or quota used up",
    503: "not now; see Retry-After",
}


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole description."""
    used = [m for r in routes for m in (r.body, r.answer) if m is not None]
    models: list[type[BaseModel]] = list(dict.fromkeys([*used, Problem]))
    _, defined = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "quintet",
            "version": version("quintet"),
            "description": "One model that profiles, represents, predicts, ranks and chooses.",
        },
        "paths": paths,
        "components": {
            "schemas": defined["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": re.sub(r"\W+", "_", f"{route.method} {route.path}").strip("_").lower(),
        "x-scope": route.scope,
        "security": [] if route.scope == "public" else [{"key": []}],
        "responses": _responses(route),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema()
        parameters += [
            {"name": name, "in": "query", "schema": own, "required": name in schema["required"]}
            if "required" in schema
            else {"name": name, "in": "query", "schema": own}
            for name, own in schema["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content: dict[str, Any] = {
            media: {"schema": _reference(route.body)} for media in route.media
        }
        if route.examples:
            content[JSON]["examples"] = {n: {"value": v} for n, v in route.examples.items()}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "done"}
    if route.answer is not None:
        good["content"] = {JSON: {"schema": _reference(route.answer)}}
    listed: dict[str, Any] = {"200": good}
    if route.scope != "public":
        listed |= {
            str(status): {
                "description": words,
                "content": {"application/problem+json": {"schema": _reference(Problem)}},
            }
            for status, words in ERRORS.items()
        }
    return listed


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}
