# SPDX-License-Identifier: GPL-3.0-or-later
"""How the routes of the scaler's API describe themselves: their answers, and what they take."""

from __future__ import annotations

from typing import Any

from clusterops.http_api import openapi
from clusterops.scaler.bounds import least
from clusterops.scaler.daemon import Controller
from clusterops.scaler.settings import ScalerSettings

Json = dict[str, Any]
_REFUSALS = {409: "Somebody else holds the scaler.", 422: "A value is not one of those allowed."}


def wanted_taken(settings: ScalerSettings) -> Json:
    """The schema of a wish for agents, with the range of this cluster."""
    number = {"type": "integer", "minimum": settings.agents_min, "maximum": settings.agents_max}
    return {"type": "object", "required": ["desired"], "properties": {"desired": number}}


def bounds_taken(controller: Controller) -> Json:
    """The schema of new bounds: within cluster.yml's."""
    high = controller.configured.high
    low = {"type": "integer", "minimum": least(controller.configured), "maximum": high}
    return {
        "type": "object",
        "required": ["min", "max"],
        "properties": {"min": low, "max": {"type": "integer", "minimum": 1, "maximum": high}},
    }


def stream_answers() -> Json:
    """An endless answer has no model."""
    text = {"text/event-stream": {"schema": {"type": "string"}}}
    about = (
        "Server-sent events until somebody hangs up. snapshot comes first: the last hour and how "
        "things are. Then state, at least once a second: status (as /api/v1/status) and traffic; "
        "point for each tick, traffic_point each ten seconds, events for what happened."
    )
    return {"response_model": None, "responses": {200: {"description": about, "content": text}}}


def answers(model: Any, *refusals: int, takes: Json | None = None) -> Json:
    """What a route's description says; the route itself is free to build its answer by hand."""
    described: Json = {
        "response_model": None,
        "responses": {
            200: {"model": model},
            **{status: openapi.error_answer(_REFUSALS[status]) for status in refusals},
        },
    }
    if takes is not None:
        content = {"application/json": {"schema": takes}}
        described["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return described
