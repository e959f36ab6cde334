# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the host, and faults: bodies that the Server Manager and the scaler have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterops.http_api import openapi

Kind = Literal["load", "deploy", "rollback"]
Profile = Literal["constant", "step", "ramp", "spike", "wave"]
Fault = Literal["kill", "freeze", "thaw"]
JobState = Literal["running", "done", "failed", "stopped"]

DURATION_MAX_S = 3600.0
RATE_MAX = 1000.0
"""Requests per second: what one process of the generator keeps up with, and no more."""

_STRICT = ConfigDict(extra="forbid", strict=True)
Body = TypeVar("Body", bound=BaseModel)


class LoadRequest(BaseModel):
    """Load at the load balancer. ``rate`` is the highest of the profile, requests per second."""

    model_config = _STRICT

    kind: Literal["load"]
    profile: Profile = "constant"
    duration_s: Annotated[float, Field(ge=1, le=DURATION_MAX_S, allow_inf_nan=False)] = 120.0
    rate: Annotated[float, Field(ge=1, le=RATE_MAX, allow_inf_nan=False)] = 50.0


class DeployRequest(BaseModel):
    """Release an application: a folder of the project, or what cluster.yml names."""

    model_config = _STRICT

    kind: Literal["deploy"]
    application: Annotated[str, Field(min_length=1, max_length=200)]


class RollbackRequest(BaseModel):
    """Back to the release before."""

    model_config = _STRICT

    kind: Literal["rollback"]


JobRequest = LoadRequest | DeployRequest | RollbackRequest
_REQUESTS: dict[str, type[JobRequest]] = {
    "load": LoadRequest, "deploy": DeployRequest, "rollback": RollbackRequest,
}  # fmt: skip


class FaultRequest(BaseModel):
    """kill: off at once, as if the plug were pulled. freeze: nothing runs in it until thaw."""

    model_config = _STRICT

    fault: Fault


class Job(BaseModel):
    """The last job of its kind. ``progress`` of load: elapsed_s, duration_s, requests, failures,
    requests_per_s, p50_ms, p95_ms, p99_ms; else it is empty. ``message`` is one line for people."""

    kind: Kind
    state: JobState
    started_at: str
    ended_at: str | None = None
    arguments: dict[str, Any]
    progress: dict[str, Any]
    message: str


class JobList(BaseModel):
    """At most one job of each kind; and what a new one may ask for."""

    jobs: list[Job]
    applications: list[str] = Field(description="What may be deployed.")
    rate_max: float = RATE_MAX
    duration_max_s: float = DURATION_MAX_S


class FaultDone(BaseModel):
    """What was done."""

    status: str


class InvalidBody(ValueError):
    """A request that is not one of those allowed; the message is one line."""


def job_request(body: dict[str, Any]) -> JobRequest:
    """The job that is asked for. Raises InvalidBody."""
    kind = body.get("kind")
    model = _REQUESTS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise InvalidBody(f"kind: found {_shown(kind)}; allowed: {', '.join(_REQUESTS)}")
    return _checked(model, body)


def in_words(request: JobRequest) -> str:
    """A job for the audit log."""
    given = request.model_dump(exclude={"kind"})
    return " ".join([request.kind, *(f"{key}={value}" for key, value in given.items())])


def fault_request(body: dict[str, Any]) -> Fault:
    """The fault that is asked for. Raises InvalidBody."""
    return _checked(FaultRequest, body).fault


def _checked(model: type[Body], body: dict[str, Any]) -> Body:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            raise InvalidBody(f"{where}: is missing") from None
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(model.model_fields)
            raise InvalidBody(f"{_shown(where)}: unknown key; allowed: {allowed}") from None
        text = problem["msg"].removeprefix("Input should be ")
        raise InvalidBody(f"{where}: found {_shown(problem['input'])}; allowed: {text}") from None


def _shown(value: Any) -> str:
    text = "".join(each if each.isprintable() else "?" for each in repr(value)[:80])
    return "nothing" if value is None else text


# --- what routes say of themselves -----------------------------------------------------------

_REFUSALS = {
    404: "There is none.",
    409: "It cannot be done now; error says why.",
    422: "A value is not one of those allowed.",
    501: "The provider of machines cannot do this.",
    502: "The Server Manager does not answer.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that are errors."""
    return {status: openapi.error_answer(_REFUSALS[status]) for status in statuses}


def takes_job(applications: list[str] | None = None) -> dict[str, Any]:
    """The body of a new job, for the OpenAPI document."""
    schemas = [model.model_json_schema() for model in _REQUESTS.values()]
    if applications is not None:
        schemas[1]["properties"]["application"] = {"type": "string", "enum": applications}
    return _takes({"oneOf": schemas})


def takes_fault() -> dict[str, Any]:
    """The body of a fault, for the OpenAPI document."""
    return _takes(FaultRequest.model_json_schema())


def _takes(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
