# SPDX-License-Identifier: GPL-3.0-or-later
"""Locust's HTTP client, so that each request is sent once and every status is an answer.

Only the runners import this: it needs gevent's own sockets.
"""

from __future__ import annotations

from typing import Any

from geventhttpclient.client import HTTPClient, HTTPClientPool
from locust.contrib.fasthttp import FastHttpSession


class NoRetryPool(HTTPClientPool):
    """Clients that send each request once.

    geventhttpclient sends a GET again, up to the size of its connection pool and once more,
    when the server closes the connection instead of answering. That would hide exactly the
    losses that are to be counted. The integration tests hold this.
    """

    def __init__(self, timeout_s: float) -> None:
        # One connection, kept open.
        super().__init__(
            concurrency=1, connection_timeout=timeout_s, network_timeout=timeout_s, insecure=True
        )

    def get_client(self, url: Any) -> HTTPClient:
        client = super().get_client(url)
        client._connection_pool.size = -1
        return client


def take_every_status(session: FastHttpSession) -> None:
    """Have any status be an answer; whether it is the right one is judged elsewhere."""
    agent = session.client
    agent.valid_response_codes = frozenset(range(100, 600))  # type: ignore[misc]
    agent.redirect_response_codes = frozenset()  # type: ignore[misc]
    agent.cookiejar = None
