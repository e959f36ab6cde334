# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to jobs when workers die or fail."""

import json
import signal
import time
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PLACES = ("waiting", "running", "delayed", "dead")
VALUES = "{fibonacci}:values"
KEY = "{fibonacci}:"

# A worker with short times and a computation of the test's choosing.
WORKER = """
import asyncio, os, time
from fibonacci.logs import configure_logging
from fibonacci.settings import load_settings
from fibonacci.worker import serve
from fibonacci.numbers import fibonacci

def compute(index):
    print('{"message": "computing"}', flush=True)
    %s

configure_logging("worker", "INFO")
settings = load_settings(os.environ, ("REDIS_URL",))
asyncio.run(serve(settings, compute=compute, lease_ms=900, backoff_ms=50))
"""


def _depths(cache: Any) -> dict[str, int]:
    kinds = {"list": cache.llen, "zset": cache.zcard, "none": lambda _key: 0}
    return {place: kinds[cache.type(KEY + place)](KEY + place) for place in PLACES}


def _wait(condition: Any, what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_the_job_of_a_killed_worker_is_finished_by_another(
    cache: Any, start: Any, ask: Any
) -> None:
    ask(20)
    victim = start("worker", code=WORKER % "time.sleep(60)")
    victim.wait_for("computing")
    other = start("worker", code=WORKER % "return fibonacci(index)")
    other.wait_for("worker ready")
    # The lease is renewed for as long as its worker lives: longer than it lasts.
    time.sleep(1.5)
    assert cache.hget(VALUES, 20) == "Calculating..."
    victim.end(signal.SIGKILL)
    _wait(lambda: cache.hget(VALUES, 20) == "6765", "the other worker has finished the job")
    assert _depths(cache) == dict.fromkeys(PLACES, 0)


def test_a_job_that_fails_three_times_goes_to_the_dead_letters(
    cache: Any, start: Any, ask: Any
) -> None:
    ask(20)
    worker = start("worker", code=WORKER % "raise RuntimeError('no luck')")
    _wait(lambda: cache.llen(KEY + "dead") == 1, "a dead letter")
    assert worker.output.count("computing") == 3
    letter = json.loads(cache.lindex(KEY + "dead", 0))
    assert (letter["index"], letter["reason"]) == (20, "RuntimeError: no luck")
    assert _depths(cache) == {"waiting": 0, "running": 0, "delayed": 0, "dead": 1}
    worker.end()
    # Given up is not forever: whoever asks again starts afresh.
    ask(20)
    start("worker", code=WORKER % "return fibonacci(index)")
    _wait(lambda: cache.hget(VALUES, 20) == "6765", "the value")


def test_a_job_that_kills_its_workers_goes_to_the_dead_letters(
    cache: Any, start: Any, ask: Any
) -> None:
    ask(20)
    for _ in range(3):
        worker = start("worker", code=WORKER % "os.kill(os.getpid(), 9)")
        assert worker.popen.wait(timeout=10) == -signal.SIGKILL
    survivor = start("worker", code=WORKER % "return fibonacci(index)")
    _wait(lambda: cache.llen(KEY + "dead") == 1, "a dead letter")
    assert "computing" not in survivor.output
    assert json.loads(cache.lindex(KEY + "dead", 0))["reason"] == "its worker died"


def test_sigterm_finishes_the_job_in_hand(cache: Any, start: Any, ask: Any) -> None:
    ask(20)
    worker = start("worker", code=WORKER % "time.sleep(1); return fibonacci(index)")
    worker.wait_for("computing")
    assert worker.end() == 0
    assert cache.hget(VALUES, 20) == "6765"


def test_a_worker_waits_for_redis(redis_server: Any, cache: Any, start: Any, ask: Any) -> None:
    worker = start("worker", code=WORKER % "return fibonacci(index)")
    worker.wait_for("worker ready")
    redis_server.stop()
    try:
        _wait(lambda: "waiting for Redis" in worker.output, "the worker has noticed")
    finally:
        redis_server.start()
    _wait(lambda: _answers(cache), "Redis is back")
    ask(20)
    _wait(lambda: cache.hget(VALUES, 20) == "6765", "the value")


def _answers(cache: Any) -> bool:
    try:
        return bool(cache.ping())
    except Exception:
        return False
