# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

from clusterops.http_api.docs_page import HEADERS, page

DOCUMENT = {
    "info": {"title": "An <API>", "version": "1"},
    "paths": {
        "/x/{id}": {
            "get": {
                "summary": "<script>alert(1)</script>",
                "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "Fine."}, "404": {"description": "No."}},
            }
        }
    },
    "components": {"schemas": {"Body": {"type": "object"}}},
}


def test_the_page_says_what_the_document_says_and_loads_nothing() -> None:
    text = page(DOCUMENT)
    for part in ("An &lt;API&gt;", "<b>GET</b> /x/{id}", "404", "Fine.", "Body"):
        assert part in text
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
