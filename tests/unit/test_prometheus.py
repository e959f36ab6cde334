# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clusterops.clients import JsonClient
from clusterops.errors import NotRunningError
from clusterops.prometheus import RATE, RATE_OF_AGENTS, Prometheus, quantile

Json = dict[str, Any]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Answer by query, or by path; anything else is refused."""
    known: dict[str, Any] = {}

    def request(_self: JsonClient, _method: str, path: str, _body: Any = None) -> Any:
        query = parse_qs(urlsplit(path).query).get("query", [urlsplit(path).path])[0]
        if query not in known:
            raise NotRunningError("no answer")
        return known[query]

    monkeypatch.setattr(JsonClient, "request", request)
    return known


def vector(*rows: tuple[Json, str]) -> Json:
    return {"data": {"result": [{"metric": m, "value": [1.0, value]} for m, value in rows]}}


def test_figures_of_now_have_the_form_of_the_scalers(answers: dict[str, Any]) -> None:
    answers[RATE_OF_AGENTS] = vector(
        ({"agent": "agent-1"}, "30.04"), ({"agent": "none"}, "1"), ({"agent": "x"}, "NaN")
    )
    answers[quantile(0.95)] = vector(({}, "0.0125"))
    assert Prometheus({}).traffic() == {
        "requests_per_s": 31.0,
        "errors_per_s": 0.0,
        "p50_ms": None,
        "p95_ms": 12.5,
        "p99_ms": None,
        "agents": {"agent-1": {"requests_per_s": 30.0}},
    }


def test_a_span_is_points_and_numbers_that_are_none_are_left_out(answers: dict[str, Any]) -> None:
    rows = [{"values": [[1, "2.5"], [2, "NaN"], [3, "+Inf"], [4, "5"]]}]
    answers[RATE] = {"data": {"result": rows}}
    assert Prometheus({}).span(RATE, 0, 10, 5) == [(1.0, 2.5), (4.0, 5.0)]


def test_alerts_say_what_they_are(answers: dict[str, Any]) -> None:
    alert = {
        "labels": {"alertname": "Down", "severity": "critical"},
        "annotations": {"summary": "no agent"}, "state": "firing",
    }  # fmt: skip
    answers["/api/v1/alerts"] = {"data": {"alerts": [alert, {}]}}
    found = Prometheus({}).alerts()
    assert found is not None
    assert found[0] == {
        "name": "Down", "state": "firing", "severity": "critical", "words": "no agent",
    }  # fmt: skip


def test_who_does_not_answer_knows_nothing(answers: dict[str, Any]) -> None:
    prometheus = Prometheus({})
    assert prometheus.traffic() is None
    assert prometheus.alerts() is None
    assert prometheus.span(RATE, 0, 1, 1) == []
    answers[RATE_OF_AGENTS] = {"error": "x"}
    assert prometheus.traffic() is None
