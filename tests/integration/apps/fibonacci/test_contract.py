# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract over real HTTP, with a real PostgreSQL, Redis and worker."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.integration

ROOT = "/api/v1/fibonacci"


def _value(api: Any, index: int) -> Any:
    return api.request("GET", f"{ROOT}/calculated/{index}")[1]["calculated_value"]


def _eventually(api: Any, index: int, value: str) -> None:
    deadline = time.monotonic() + 10
    while _value(api, index) != value:
        assert time.monotonic() < deadline, f"F({index}) is still {_value(api, index)}"
        time.sleep(0.02)


def test_the_whole_contract(api: Any, start: Any) -> None:
    assert api.request("GET", "/health") == (200, {"status": "OK"})
    assert api.request("GET", "/ready") == (200, {"ready": True})
    assert api.request("GET", f"{ROOT}/most-requested") == (404, {"most_requested": None})
    assert _value(api, 10) is None
    assert api.request("POST", f"{ROOT}/calculate/10") == (200, {"working": True})
    assert _value(api, 10) == "Calculating..."
    conflict = (409, {"error": "Already calculated", "index": 10})
    assert api.request("POST", f"{ROOT}/calculate/10") == conflict
    worker = start("worker")
    _eventually(api, 10, "55")
    assert (_value(api, 0), _value(api, 1)) == ("0", "1")
    assert api.request("POST", f"{ROOT}/calculate/0")[0] == 409
    assert api.request("POST", f"{ROOT}/calculate/40") == (200, {"working": True})
    _eventually(api, 40, "102334155")
    most = {"most_requested": {"number": 10, "count": 2}}
    assert api.request("GET", f"{ROOT}/most-requested") == (200, most)
    assert api.request("POST", f"{ROOT}/calculate/1e1")[0] == 422
    body = {"body": "{", "headers": {"Content-Type": "application/json"}}
    malformed = (400, {"error": "Malformed JSON"})
    assert api.request("POST", f"{ROOT}/calculate/5", **body) == malformed
    assert worker.end() == 0
    for line in (api.output + worker.output).splitlines():
        assert {"time", "level", "service", "message"} <= set(json.loads(line))
    assert all(e["request_id"] for e in map(json.loads, api.output.splitlines())
               if e["message"] == "request")  # fmt: skip


def test_counts_are_exact_over_parallel_requests_to_two_nodes(
    api: Any, start: Any, database: str
) -> None:
    nodes = [api, start("api")]
    wanted = [(nodes[n % 2], n % 7) for n in range(420)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda each: each[0].request("POST", f"{ROOT}/calculate/{each[1]}"), wanted)
        )
    # Every job was accepted once, whichever node was asked.
    assert sorted(status for status, _ in answers) == [200] * 7 + [409] * 413
    # Stopping writes what is still in memory.
    for node in nodes:
        assert node.end() == 0
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT number, count FROM request_counts").fetchall()
    assert dict(rows) == dict.fromkeys(range(7), 60)


@pytest.mark.parametrize("role", ["api", "worker", "migrate"])
def test_a_missing_environment_is_one_line_and_exit_code_2(start: Any, role: str) -> None:
    code = "import runpy, sys; sys.argv = ['fibonacci', '%s']; runpy.run_module('fibonacci', "
    code = (code + "run_name='__main__')") % role
    process = start("process", code=code, POSTGRES_URL="", REDIS_URL="")
    assert process.popen.wait(timeout=15) == 2
    assert process.output.startswith("fibonacci: ")
    assert "is not set" in process.output
    assert process.output.count("\n") == 1


def test_a_port_in_use_is_one_line(api: Any, start: Any) -> None:
    process = start("process", code="from fibonacci.__main__ import main; main(['api'])",
                    PORT=str(api.port))  # fmt: skip
    assert process.popen.wait(timeout=15) == 1
    assert process.output == (
        f"fibonacci: cannot listen on 127.0.0.1 port {api.port}: Address already in use\n"
    )


def test_interrupting_ends_the_worker(start: Any) -> None:
    worker = start("worker")
    worker.wait_for("worker ready")
    assert worker.end(signal.SIGINT) == 0
