# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fibonacci.api import Services, create_app

ROOT = "/api/v1/fibonacci"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def client(store: Any, queue: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Services(store=store, queue=queue, expected_migrations=frozenset({1})))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        yield http


async def test_health_says_nothing_about_the_databases(
    client: httpx.AsyncClient, store: Any, queue: Any
) -> None:
    store.down = queue.down = True
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})


async def test_ready(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})


@pytest.mark.parametrize("problem", ["postgresql", "redis", "migrations"])
async def test_not_ready(client: httpx.AsyncClient, store: Any, queue: Any, problem: str) -> None:
    if problem == "migrations":
        store.versions = set()
    else:
        (store if problem == "postgresql" else queue).down = True
    answer = await client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})


async def test_a_newer_schema_does_not_hurt(client: httpx.AsyncClient, store: Any) -> None:
    store.versions = {1, 2}
    assert (await client.get("/ready")).status_code == 200


async def test_calculate_once_then_conflict_and_both_count(
    client: httpx.AsyncClient, store: Any
) -> None:
    first = await client.post(f"{ROOT}/calculate/10")
    assert (first.status_code, first.json()) == (200, {"working": True})
    second = await client.post(f"{ROOT}/calculate/10")
    expected = {"error": "Already calculated", "index": 10}
    assert (second.status_code, second.json()) == (409, expected)
    most = await client.get(f"{ROOT}/most-requested")
    assert (most.status_code, most.json()) == (200, {"most_requested": {"number": 10, "count": 2}})
    assert store.counts == {10: 2}


async def test_the_value_is_null_then_a_word_then_text(
    client: httpx.AsyncClient, queue: Any
) -> None:
    seen = [(await client.get(f"{ROOT}/calculated/10")).json()]
    await client.post(f"{ROOT}/calculate/10")
    seen.append((await client.get(f"{ROOT}/calculated/10")).json())
    queue.values[10] = "55"
    seen.append((await client.get(f"{ROOT}/calculated/10")).json())
    assert [each["calculated_value"] for each in seen] == [None, "Calculating...", "55"]


async def test_most_requested_of_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{ROOT}/most-requested")
    assert (answer.status_code, answer.json()) == (404, {"most_requested": None})


@pytest.mark.parametrize(("method", "path"), [("POST", "calculate"), ("GET", "calculated")])
@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("/41", "Index must be between 0 and 40"),
        ("/-1", "Index must be between 0 and 40"),
        ("/010", "Index must be an integer"),
        ("/x", "Index must be a number"),
        ("/10%0A", "Index must be a number"),
        ("/%20", "Index is required"),
        ("/", "Index is required"),
        ("", "Index is required"),
    ],
)
async def test_a_wrong_index_is_refused_and_not_counted(
    client: httpx.AsyncClient, store: Any, method: str, path: str, index: str, message: str
) -> None:
    answer = await client.request(method, f"{ROOT}/{path}{index}")
    assert (answer.status_code, answer.json()) == (422, {"error": message})
    assert (await client.get(f"{ROOT}/most-requested")).status_code == 404
    assert store.counts == {}


@pytest.mark.parametrize("body", [b"{", b'{"a":}', b"\xff", b"NaN", b"[" * 90_000])
async def test_malformed_json(client: httpx.AsyncClient, store: Any, body: bytes) -> None:
    answer = await client.post(f"{ROOT}/calculate/10", content=body, headers=JSON)
    assert (answer.status_code, answer.json()) == (400, {"error": "Malformed JSON"})
    assert (await client.get(f"{ROOT}/calculated/10")).json() == {"calculated_value": None}


@pytest.mark.parametrize("body", [b"{}", b'{"a": %s}' % (b"1" * 6000), b""])
async def test_any_json_is_fine(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"{ROOT}/calculate/10", content=body, headers=JSON)
    assert answer.status_code == 200


async def test_a_form_is_not_json(client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{ROOT}/calculate/10", data={"a": "{"})).status_code == 200


async def test_a_huge_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{ROOT}/calculate/10", content=b" " * 200_000, headers=JSON)
    assert (answer.status_code, answer.json()) == (413, {"error": "Body too large"})


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", (404, {"error": "Not found"})),
        ("GET", f"{ROOT}/calculate/10", (405, {"error": "Method not allowed"})),
        ("POST", f"{ROOT}/calculated/10", (405, {"error": "Method not allowed"})),
        ("POST", f"{ROOT}/calculate/10/x", (404, {"error": "Not found"})),
    ],
)
async def test_errors_are_json(
    client: httpx.AsyncClient, method: str, path: str, expected: tuple[int, dict[str, str]]
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == expected


async def test_without_redis(client: httpx.AsyncClient, store: Any, queue: Any) -> None:
    queue.down = True
    for method, path in (("POST", "calculate/3"), ("GET", "calculated/3")):
        answer = await client.request(method, f"{ROOT}/{path}")
        assert (answer.status_code, answer.json()) == (503, {"error": "Queue is unavailable"})
    queue.down = False
    assert (await client.get(f"{ROOT}/most-requested")).status_code == 404


async def test_without_postgresql_counts_wait(client: httpx.AsyncClient, store: Any) -> None:
    store.down = True
    assert (await client.post(f"{ROOT}/calculate/3")).status_code == 200
    answer = await client.get(f"{ROOT}/most-requested")
    assert (answer.status_code, answer.json()) == (503, {"error": "Database is unavailable"})
    store.down = False
    assert (await client.get(f"{ROOT}/most-requested")).json()["most_requested"]["count"] == 1


async def test_request_ids(client: httpx.AsyncClient) -> None:
    kept = await client.get("/health", headers={"x-request-id": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await client.get("/health", headers={"x-request-id": 'a" b'})
    assert len(replaced.headers["x-request-id"]) == 32


async def test_an_unexpected_error_is_answered(client: httpx.AsyncClient, queue: Any) -> None:
    async def broken(_index: int) -> None:
        raise RuntimeError("secret detail")

    queue.value = broken
    answer = await client.get(f"{ROOT}/calculated/3")
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})


async def test_metrics_count_by_route_not_by_path(client: httpx.AsyncClient, queue: Any) -> None:
    await client.post(f"{ROOT}/calculate/3")
    await client.post(f"{ROOT}/calculate/4")
    await client.get("/somewhere/else")
    text = (await client.get("/metrics")).text
    route = f'{{method="POST",route="{ROOT}/calculate/{{index}}",status="200"}} 2.0'
    assert f"fibonacci_http_requests_total{route}" in text
    assert 'route="unmatched"' in text
    assert "somewhere" not in text
    assert 'fibonacci_queue_jobs{place="waiting"} 2.0' in text
    assert "fibonacci_job_duration_seconds_count 3.0" in text
    assert "fibonacci_job_duration_seconds_sum 1.5" in text
    queue.down = True
    text = (await client.get("/metrics")).text
    assert "fibonacci_queue_jobs{" not in text and "fibonacci_job" not in text
