# SPDX-License-Identifier: GPL-3.0-or-later
"""An OpenAPI document as a page that loads nothing: no script, no other host."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
details { border: 1px solid #8886; border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: .875rem/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

Json = dict[str, Any]


def page(document: Json) -> str:
    """The page of an OpenAPI document."""
    info = document.get("info", {})
    title = escape(str(info.get("title", "API")))
    operations = "".join(
        _operation(method, path, operation)
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
    )
    schemas = "".join(
        f"<details><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"
        for name, schema in document.get("components", {}).get("schemas", {}).items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{title} {escape(str(info.get('version', '')))}"
        f"</h1><p>{escape(str(info.get('description', '')))}</p>"
        '<p>The OpenAPI document: <a href="openapi.json">openapi.json</a></p>'
        f"<h2>Requests</h2>{operations}<h2>Bodies</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: Json) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each.get('in', ''))}</td>"
        f"<td><code>{escape(json.dumps(each.get('schema', {})))}</code></td></tr>"
        for each in operation.get("parameters", [])
    )
    body = operation.get("requestBody")
    answers = "".join(
        f"<tr><th>{escape(status)}</th><td>{escape(str(answer.get('description', '')))}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    about = operation.get("description") or operation.get("summary") or ""
    return (
        f"<details><summary><code><b>{escape(method.upper())}</b> {escape(path)}</code></summary>"
        f"<p>{escape(str(about))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + (f"<p>Body:</p>{_json(body)}" if body else "")
        + f"<table>{answers}</table></details>"
    )


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
