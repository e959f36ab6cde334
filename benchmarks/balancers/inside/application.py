# SPDX-License-Identifier: GPL-3.0-or-later
"""An application that counts how often each POST was executed; several agents in one process.

Usage: application.py CONTROL_PORT.  On the control port: GET /start/PORT and /stop/PORT power an
agent on and off (off ends every connection at once), /in_flight/PORT, /reset, and /executed: how
often each id was executed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter

EXECUTED: Counter[str] = Counter()
IN_FLIGHT: Counter[int] = Counter()
SERVERS: dict[int, asyncio.Server] = {}
CONNECTIONS: dict[int, set[asyncio.StreamWriter]] = {}
WORK_S = (0.002, 0.02)


async def request_of(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, path and body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split(" ", 2)
    size = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            size = int(value)
    return method, path, await reader.readexactly(size)


def answer(writer: asyncio.StreamWriter, value: object) -> None:
    body = json.dumps(value).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    )


async def work(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to an agent."""
    CONNECTIONS[port].add(writer)
    try:
        while True:
            method, path, _ = await request_of(reader)
            IN_FLIGHT[port] += 1
            try:
                if method == "POST":
                    EXECUTED[path] += 1
                    await asyncio.sleep(random.uniform(*WORK_S))  # noqa: S311 - no secret
                answer(writer, {"working": True})
                await writer.drain()
            finally:
                IN_FLIGHT[port] -= 1
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        CONNECTIONS[port].discard(writer)
        writer.close()


async def start(port: int) -> None:
    CONNECTIONS.setdefault(port, set())
    SERVERS[port] = await asyncio.start_server(
        lambda reader, writer: work(port, reader, writer), "127.0.0.1", port, backlog=1024
    )


async def stop(port: int) -> None:
    SERVERS.pop(port).close()
    for writer in list(CONNECTIONS[port]):
        writer.transport.abort()


async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _, path, _ = await request_of(reader)
    _, action, *rest = path.split("/")
    port = int(rest[0]) if rest else 0
    value: object = {}
    if action == "start":
        await start(port)
    elif action == "stop":
        await stop(port)
    elif action == "in_flight":
        value = IN_FLIGHT[port]
    elif action == "reset":
        EXECUTED.clear()
        for known in list(SERVERS):
            await stop(known)
    elif action == "executed":
        value = EXECUTED
    answer(writer, value)
    await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(control, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
