# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP APIs, from their OpenAPI documents."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from clusterops.docs.markdown import code, table
from clusterops.docs.schemas import allowed, followed
from clusterops.http_api.openapi import EVERYWHERE
from clusterops.state import project_root

Json = Mapping[str, Any]

UNAUTHORIZED = 401
METHODS = ("get", "post", "put", "patch", "delete", "head")
WHERE = {
    "server_manager": "On the host, `http://127.0.0.1:3000` (`port_server_manager`).",
    "scaler": "On control-1, `http://127.0.0.1:9000` of the host (`port_dashboard`).",
    "metrics_api": "On each agent, port 5100; agent-1 is `http://127.0.0.1:5101` of the host.",
    "load_balancer": "The balancer's administration, on control-1 only: `http://127.0.0.1:8081`.",
}


def documents() -> dict[str, Json]:
    """The document of every API, by its name in WHERE."""
    root = project_root()
    read = {
        "metrics_api": root / "src/clusterops/metrics_api/openapi.json",
        "load_balancer": root / "roles/load_balancer/files/openapi.json",
    }
    return {
        "server_manager": _server_manager(),
        "scaler": _scaler(),
        **{name: json.loads(path.read_text("utf-8")) for name, path in read.items()},
    }


def page(name: str, document: Json) -> str:
    """One API: its routes, what they take and answer."""
    info = document["info"]
    parts = [
        f"# {info['title']}\n",
        f"{WHERE[name]} {info.get('description', '')}\n",
        "`/openapi.json` has this as a document, with the form of every body"
        + (", and `/docs` as a page" if name in ("server_manager", "scaler") else "")
        + ". Who may do what: [Security](../../security.md).\n",
    ]
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parts.append(_operation(method.upper(), path, item, item[method], document))
    return "\n".join(parts)


def _operation(method: str, path: str, item: Json, operation: Json, document: Json) -> str:
    lines = [f"## {method} {path}\n"]
    # With an operationId, the summary is made of the name of a function and says nothing.
    told = operation.get("description") or (
        "" if "operationId" in operation else operation.get("summary")
    )
    if told:
        lines.append(f"{told}\n")
    given = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if given:
        found = [one if "$ref" not in one else followed(one, document) for one in given]
        rows = [
            [
                code(one["name"]), one["in"], one.get("description", ""),
                allowed(one.get("schema", {}), document),
            ]
            for one in found
        ]  # fmt: skip
        lines.append(table(["parameter", "in", "", "allowed"], rows))
    body = _body(operation, document)
    if body:
        lines.append(table(["body", "", "allowed"], body))
    answers = [
        [code(status), _answer(followed(about, document), document)]
        for status, about in operation.get("responses", {}).items()
        if not (status.isdigit() and _everywhere(int(status), about))
    ]
    lines.append(table(["answer", ""], answers))
    return "\n".join(lines)


def _answer(about: Json, document: Json) -> str:
    """What an answer means, and the fields that it has."""
    text = str(about.get("description", "")).replace("Successful Response", "").strip()
    schema = _schema(about)
    fields = followed(schema, document).get("properties", {})
    if not fields or "ErrorBody" in str(schema):
        return text
    return f"{text} {', '.join(code(name) for name in fields)}".strip()


def _everywhere(status: int, about: Json) -> bool:
    """An answer that every route may give says nothing about this one."""
    return status == UNAUTHORIZED or EVERYWHERE.get(status) == about.get("description")


def _schema(message: Json) -> Json:
    content: Json = next(iter(message.get("content", {}).values()), {})
    found: Json = content.get("schema", {})
    return found


def _body(operation: Json, document: Json) -> list[list[str]]:
    schema = _schema(operation.get("requestBody", {}))
    kinds = [followed(one, document) for one in schema.get("oneOf", schema.get("anyOf", [schema]))]
    rows = []
    for kind in kinds:
        for name, about in kind.get("properties", {}).items():
            found = {**followed(about, document), **about}
            found.pop("$ref", None)
            text = str(found.get("description", ""))
            if name in kind.get("required", ()):
                text = f"required. {text}".strip()
            rows.append([code(name), text, allowed(found, document)])
    return rows


def _server_manager() -> Json:
    """The document of an application that nobody will ever ask."""
    from clusterops.config import ClusterConfig
    from clusterops.http_api.audit import Audit
    from clusterops.server_manager.app import create_app
    from clusterops.server_manager.driver import Cluster
    from clusterops.server_manager.drivers.fake import FakeDriver
    from clusterops.server_manager.job_processes import Jobs
    from clusterops.server_manager.service import Service
    from clusterops.state import State

    service = Service(
        config=lambda: ClusterConfig.model_validate({}),
        driver=FakeDriver(Cluster("docs")),
        make_seed=lambda name, addresses: {},
        url_for=lambda host: f"http://{host}:3000",
    )
    audit = Audit("docs", lambda entry: None)
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(State.beside(Path(folder) / "cluster.yml"), lambda: ["apps/whoami"])
        return cast(Json, create_app(service, known=dict, audit=audit, jobs=jobs).openapi())


def _scaler() -> Json:
    from clusterops.scaler.api import make_app
    from clusterops.scaler.daemon import Controller
    from clusterops.scaler.policies import policy_from
    from clusterops.scaler.settings import ScalerSettings
    from clusterops.scaler.store import Store

    with tempfile.TemporaryDirectory() as folder:
        settings = ScalerSettings(
            server_manager_url="http://127.0.0.1:3000", state_dir=Path(folder), read_open=True
        )
        policy = policy_from({"scaling_policy": "threshold"})
        nobody = cast(Any, None)
        controller = Controller(settings, Store(settings.database), nobody, nobody, policy)
        return cast(Json, make_app(controller).openapi())
