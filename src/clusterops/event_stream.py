# SPDX-License-Identifier: GPL-3.0-or-later
"""Server-sent events of the scaler, for programs that watch."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from clusterops.clients import AnswerError, ScalerClient
from clusterops.errors import NotRunningError

STREAM = "/api/v1/stream"
#: The scaler says something each second; whoever is silent for so long is gone.
SILENCE_S = 6.0

Message = tuple[str, Any]


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """Name and decoded data of each event; what is no JSON is passed over."""
    name, data = "message", b""
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data += value + b"\n"
        elif not line:
            if data:
                with contextlib.suppress(ValueError):
                    yield name, json.loads(data)
            name, data = "message", b""


def watch(scaler: ScalerClient) -> Iterator[Message]:
    """What the scaler tells, until the connection ends.

    Raises:
        NotRunningError: the scaler cannot be reached, or went away.
        AnswerError: it has no stream for us; the status is the HTTP status.
    """
    parts = urlsplit(scaler.url)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port or 80, timeout=SILENCE_S
    )
    try:
        connection.request("GET", parts.path + STREAM, headers=scaler.headers("text/event-stream"))
        answer = connection.getresponse()
        if answer.status != 200:
            raise AnswerError(f"The scaler has no stream: status {answer.status}", answer.status)
        yield from messages(answer)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotRunningError(f"The scaler does not answer at {scaler.url}: {reason}") from error
    finally:
        connection.close()
