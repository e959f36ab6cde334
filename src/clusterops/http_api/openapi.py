# SPDX-License-Identifier: GPL-3.0-or-later
"""What every answer of a service's OpenAPI document has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from clusterops.http_api import docs_page
from clusterops.http_api.access import READING
from clusterops.http_api.guard import Rules

Json = dict[str, Any]

EVERYWHERE = {
    400: "The request is malformed, or not what the route takes.",
    403: "The token may not do this, or a web page of another site asks.",
    405: "The route does not have this method; Allow says which it has.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    421: "The Host header names another service.",
    431: "The head of the request is too large.",
    500: "It failed; error says why.",
    503: "The service has too much to do, or cannot check tokens.",
}


class ErrorBody(BaseModel):
    """Why not."""

    error: str


def describe(app: FastAPI, rules: Rules) -> Callable[[], Json]:
    """The document of a service, with every answer that the guard may give, too."""

    def document() -> Json:
        if app.openapi_schema:
            return app.openapi_schema
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = made.setdefault("components", {})
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schemas = components.setdefault("schemas", {})
        schemas["ErrorBody"] = ErrorBody.model_json_schema()
        for leftover in ("HTTPValidationError", "ValidationError"):
            schemas.pop(leftover, None)  # errors have one form
        for path, item in made["paths"].items():
            for method, operation in item.items():
                _complete(operation, _security(path, method.upper(), rules))
        app.openapi_schema = made
        return made

    return document


def _security(path: str, method: str, rules: Rules) -> list[Json]:
    """Ways to be let in; none where everybody is."""
    token: Json = {"token": []}
    if path in rules.open_paths:
        return []
    if method in READING and rules.read_open and path not in rules.token_paths:
        return []
    if method in READING and path in rules.local_paths:
        return [token, {}]  # programs of the same machine need none
    return [token]


def _complete(operation: Json, security: list[Json]) -> None:
    answers: Json = operation.setdefault("responses", {})
    validation = answers.get("422", {}).get("description") == "Validation Error"
    if validation:
        del answers["422"]  # what is invalid is 400 here
    every = dict(EVERYWHERE)
    if security:
        operation["security"] = security
        every[401] = "A valid token is needed."
    for status, about in sorted(every.items()):
        answers.setdefault(str(status), error_answer(about))
    operation["responses"] = dict(sorted(answers.items()))


def error_answer(about: str) -> Json:
    """An answer that is an error."""
    return {
        "description": about,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }


def add_docs(app: FastAPI) -> None:
    """The page of the document at /docs."""

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page.page(app.openapi()), headers=docs_page.HEADERS)


def allow(app: FastAPI, request: Request) -> dict[str, str]:
    """The Allow header of a 405: what all routes of the path have, not the first one alone."""
    matching = [
        route
        for route in app.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE
    ]
    if not matching:
        return {}
    path = matching[0].path  # the first that fits is the one that answers
    methods: set[str] = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and route.path == path and route.name != NO_METHOD:
            methods |= route.methods or set()
    return {"Allow": ", ".join(sorted(methods))}


NO_METHOD = "no_such_method"
"""Name of a route that is there to answer 405."""
