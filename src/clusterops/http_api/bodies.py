# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a request's body."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException


async def json_object(request: Request) -> dict[str, Any]:
    """The body, which has to be a JSON object; anything else is answered with 400."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "Invalid JSON.") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "Invalid JSON: expected an object.")
    return body
