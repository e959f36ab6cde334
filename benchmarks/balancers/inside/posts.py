# SPDX-License-Identifier: GPL-3.0-or-later
"""POSTs over keep-alive connections, each with an id of its own, while a command runs.

Usage: posts.py PORT CONTROL_PORT CLIENTS COMMAND...  Nothing is sent a second time. Prints JSON:
what the clients saw, compared with what the application has executed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import urllib.request
from collections import Counter

THINK_S = 0.02
LIMIT_S = 10.0


class Client:
    """One connection at a time; one that was closed while idle is replaced before the next POST."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.closed = 0
        self.durations: list[float] = []
        self.outcomes: dict[str, str] = {}

    async def run(self, ended: asyncio.Event) -> None:
        reader = writer = None
        number = 0
        while not ended.is_set():
            await asyncio.sleep(random.uniform(0, THINK_S))  # noqa: S311 - no secret
            if writer is not None and reader is not None and reader.at_eof():
                writer.close()
                writer = None
                self.closed += 1
            path = f"/post/{self.name}-{number}"
            number += 1
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                began = time.monotonic()
                status, last = await asyncio.wait_for(self.post(reader, writer, path), LIMIT_S)
                self.durations.append(time.monotonic() - began)
                self.outcomes[path] = str(status)
                self.closed += last
            except (OSError, EOFError, TimeoutError) as error:
                self.outcomes[path] = type(error).__name__
                self.closed += 1
                last = True
            if last and writer is not None:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    async def post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
    ) -> tuple[int, bool]:
        """Status of the answer, and whether the connection ends with it."""
        body = b"x" * 100
        head = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.split("content-length:")[1].split("\r\n")[0])
        await reader.readexactly(size)
        return int(head.split(" ")[1]), "connection: close" in head


async def main() -> None:
    port, control, clients = map(int, sys.argv[1:4])
    ended = asyncio.Event()
    everyone = [Client(str(n), port) for n in range(clients)]
    tasks = [asyncio.create_task(client.run(ended)) for client in everyone]
    await asyncio.sleep(0.5)
    process = await asyncio.create_subprocess_exec(*sys.argv[4:], stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    await asyncio.sleep(0.5)
    ended.set()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.2)
    with urllib.request.urlopen(f"http://127.0.0.1:{control}/executed") as response:  # noqa: ASYNC210
        executed: dict[str, int] = json.load(response)
    if process.returncode:
        raise SystemExit(f"{sys.argv[4:]} failed")
    outcomes = {path: seen for client in everyone for path, seen in client.outcomes.items()}
    durations = sorted(second for client in everyone for second in client.durations)
    failed = {path: seen for path, seen in outcomes.items() if seen != "200"}
    print(
        json.dumps(
            {
                **json.loads(output),
                "posts": len(outcomes),
                "failed": len(failed),
                "failures": Counter(failed.values()),
                "lost": sum(1 for path in outcomes if not executed.get(path)),
                "without_answer": sum(1 for path in failed if executed.get(path)),
                "twice": sum(1 for times in executed.values() if times > 1),
                "connections_closed": sum(client.closed for client in everyone),
                "p50_ms": 1000 * durations[len(durations) // 2],
                "p99_ms": 1000 * durations[len(durations) * 99 // 100],
            }
        )
    )


asyncio.run(main())
