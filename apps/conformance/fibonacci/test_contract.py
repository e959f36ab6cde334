# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fibonacci service: numbers are asked for, computed by a worker, and looked up."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

ROOT = "/api/v1/fibonacci"
WORKING = {"working": True}
COMPUTED_WITHIN_S = float(os.environ.get("COMPUTED_WITHIN_S", "30"))


def ask(application: httpx.Client, index: int | str) -> httpx.Response:
    return application.post(f"{ROOT}/calculate/{index}")


def value(application: httpx.Client, index: int) -> str | None:
    answer = application.get(f"{ROOT}/calculated/{index}")
    assert (answer.status_code, list(answer.json())) == (200, ["calculated_value"])
    found = answer.json()["calculated_value"]
    return None if found is None else str(found)


def computed(application: httpx.Client, index: int) -> str | None:
    """The value once a worker has written it; the last answer when that takes too long."""
    ends = time.monotonic() + COMPUTED_WITHIN_S
    while not (found := value(application, index) or "").isdigit():
        if time.monotonic() > ends:
            break
        time.sleep(0.1)
    return found


def test_it_lives(application: httpx.Client) -> None:
    answer = application.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})


def test_it_can_serve(application: httpx.Client) -> None:
    answer = application.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})


@pytest.mark.parametrize("index", [0, 1, 2, 10, 40])
def test_a_number_is_computed_once_and_then_known(application: httpx.Client, index: int) -> None:
    first = ask(application, index)
    assert (first.status_code, first.json()) in (
        (200, WORKING),
        (409, {"error": "Already calculated", "index": index}),
    )
    a, b = 0, 1
    for _ in range(index):
        a, b = b, a + b
    assert computed(application, index) == str(a)
    again = ask(application, index)
    assert again.status_code == 409
    assert again.json() == {"error": "Already calculated", "index": index}


def test_many_who_ask_at_once_get_one_value(application: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(application, 29).status_code, range(8)))
    assert set(answers) <= {200, 409}
    assert computed(application, 29) == "514229"


def test_the_most_requested_number_counts_requests(application: httpx.Client) -> None:
    def most() -> tuple[int, int]:
        answer = application.get(f"{ROOT}/most-requested")
        assert answer.status_code == 200
        found = answer.json()["most_requested"]
        return int(found["number"]), int(found["count"])

    ask(application, 3)
    number, before = most()
    for _ in range(3):
        ask(application, number)
    ends = time.monotonic() + COMPUTED_WITHIN_S
    while (after := most())[1] < before + 3 and time.monotonic() < ends:
        time.sleep(0.1)
    assert after[1] >= before + 3


@pytest.mark.parametrize("index", ["41", "-1", "1.5", "ten", "%20"])
def test_what_is_no_index_is_refused(application: httpx.Client, index: str) -> None:
    assert ask(application, index).status_code == 422


def test_unknown_paths_are_not_found(application: httpx.Client) -> None:
    assert application.get("/api/v1/fibonacci-numbers").status_code == 404
