# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.yml and app.yml, from the JSON Schemas that their models make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from clusterops.application.manifest import manifest_schema
from clusterops.config import json_schema
from clusterops.docs.markdown import code, table, value

Json = Mapping[str, Any]

CLUSTER = """\
# cluster.yml

Every key is optional. Every key is an Ansible variable of the same name, so that `-e agents_max=6`,
a file in `inventory/group_vars` or `host_vars` overrides exactly one. Times are in seconds, memory
in MiB. An editor that knows JSON Schema completes the file with `cluster.schema.json`.
`./playground up` applies what has changed; a mistake is one line with the file, the key, what was
found and what is allowed, before anything is touched.

"""
APP = """\
# app.yml

What the cluster has to know about an application ([how to make one](../applications.md)). Paths are
relative to the folder of the app.yml. An editor completes the file with `app.schema.json`;
`./playground app validate` says everything that is wrong with it at once.

"""


def cluster_page() -> str:
    """Every key of cluster.yml."""
    return CLUSTER + _table(json.loads(json_schema()))


def app_page() -> str:
    """Every key of app.yml, also of the mappings within it."""
    schema = json.loads(manifest_schema())
    return APP + _table(schema)


def _table(schema: Json) -> str:
    rows = list(_rows(schema, schema, ""))
    return table(["key", "", "allowed", "default"], rows)


def _rows(schema: Json, whole: Json, before: str) -> Iterator[list[str]]:
    required = schema.get("required", ())
    for key, about in schema["properties"].items():
        found = {**followed(about, whole), **{k: v for k, v in about.items() if k != "$ref"}}
        default = "required" if key in required else ""
        if not default and "default" in found:
            default = "" if found["default"] is None else value(found["default"])
        text = str(found.get("description", ""))
        inner = found.get("properties")
        yield [code(before + key), text, "" if inner else allowed(found, whole), default]
        if inner:
            yield from _rows(found, whole, f"{before}{key}.")


def allowed(about: Json, whole: Json) -> str:
    """What a value may be, in a few words."""
    about = followed(about, whole)
    if "enum" in about:
        return ", ".join(value(one) for one in about["enum"])
    if "const" in about:
        return value(about["const"])
    if "anyOf" in about:
        kinds = [allowed(one, whole) for one in about["anyOf"]]
        return ", ".join(dict.fromkeys(kind for kind in kinds if kind))
    kind = str(about.get("type", "anything"))
    words = {
        "null": "nothing",
        "string": "text",
        "integer": "whole number",
        "boolean": "true, false",
    }
    shown = words.get(kind, kind)
    if kind == "object" and "properties" in about:
        return "mapping with " + ", ".join(code(key) for key in about["properties"])
    if kind == "object":
        named = about.get("patternProperties", {})
        inner = next(iter(named.values()), about.get("additionalProperties"))
        more = allowed(inner, whole) if isinstance(inner, Mapping) else "anything"
        return f"mapping of {more}"
    if kind == "array":
        return f"list of {allowed(about.get('items', {}), whole)}"
    least, most = about.get("minimum"), about.get("maximum")
    if least is not None or most is not None:
        shown += f" {'' if least is None else least} to {'' if most is None else most}".rstrip()
    if "exclusiveMinimum" in about:
        shown += f" above {about['exclusiveMinimum']}"
    if "pattern" in about:
        shown += f" {code(about['pattern'])}"
    return shown


def followed(about: Json, whole: Json) -> Json:
    """What a reference within the document stands for; anything else is itself."""
    if "$ref" not in about:
        return about
    found: Json = whole
    for part in str(about["$ref"]).removeprefix("#/").split("/"):
        found = found[part]
    return found
