# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from clusterops.scaler.traffic import Counts, Look, between, oldest_within, parse, quantile

PREFIX = "clusterops_load_balancer_"


def text(requests: dict[str, int], errors: int = 0, buckets: str = "") -> str:
    lines = [f"# HELP {PREFIX}requests_total Requests.", f"# TYPE {PREFIX}requests_total counter"]
    for agent, count in requests.items():
        lines.append(f'{PREFIX}requests_total{{agent="{agent}",status="2xx"}} {count}')
        lines.append(f'{PREFIX}requests_total{{agent="{agent}",status="5xx"}} {errors}')
        lines.append(f'{PREFIX}in_flight_requests{{agent="{agent}"}} 3')
    return "\n".join([*lines, buckets, ""])


def test_rates_of_each_agent_and_of_all() -> None:
    before = parse(text({"agent-1": 100, "agent-2": 50}), 10.0)
    after = parse(text({"agent-1": 140, "agent-2": 60, "none": 5}, errors=2), 12.0)
    found = between(before, after)
    assert found["agents"]["agent-1"]["requests_per_s"] == 21.0
    assert found["agents"]["agent-1"]["in_flight"] == 3
    assert found["agents"]["agent-2"]["errors_per_s"] == 1.0
    assert "none" not in found["agents"]
    assert found["requests_per_s"] == pytest.approx((42 + 12 + 7) / 2, abs=0.05)
    assert found["errors_per_s"] == 3.0
    assert found["p95_ms"] is None, "without a histogram nobody knows"


def test_counters_that_begin_anew_are_no_burst() -> None:
    before = parse(text({"agent-1": 5000}), 0.0)
    after = parse(text({"agent-1": 10}), 1.0)
    assert between(before, after)["requests_per_s"] == 10.0


def test_percentiles_come_from_what_was_added_to_the_histogram() -> None:
    name = f"{PREFIX}request_duration_seconds_bucket"
    limits = ("0.01", "0.1", "+Inf")

    def buckets(*counts: int) -> str:
        lines = zip(limits, counts, strict=True)
        return "\n".join(f'{name}{{agent="agent-1",le="{le}"}} {n}' for le, n in lines)

    before = parse(text({"agent-1": 0}, buckets=buckets(1000, 1000, 1000)), 0.0)
    after = parse(text({"agent-1": 0}, buckets=buckets(1050, 1100, 1100)), 1.0)
    found = between(before, after)
    assert found["p50_ms"] == 10.0
    assert found["p95_ms"] == pytest.approx(91.0)
    assert found["agents"]["agent-1"]["p95_ms"] == found["p95_ms"]


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.1: 0.0, float("inf"): 0.0}, 0.5, None),
        ({0.1: 10.0, float("inf"): 10.0}, 0.5, 50.0),
        ({0.1: 0.0, float("inf"): 10.0}, 0.5, 100.0),
        ({0.1: 10.0, 0.2: 10.0, float("inf"): 10.0}, 1.0, 100.0),
    ],
)
def test_quantiles(buckets: dict[float, float], share: float, expected: float | None) -> None:
    assert quantile(buckets, share) == expected


def test_what_is_not_understood_is_passed_over() -> None:
    strange = f'{PREFIX}requests_total{{agent="a",status="2xx"}} many\nhello\n'
    strange += f'{PREFIX}requests_total{{status="2xx"}} 3\nother_total{{agent="a"}} 3\n'
    assert parse(strange, 1.0).agents.get("a", Counts()).requests == 0.0


def test_the_look_to_compare_with() -> None:
    looks = [Look(at, {}) for at in (1.0, 2.0, 3.0)]
    assert oldest_within(looks, 4.0, 2.5) is looks[1]
    assert oldest_within(looks, 40.0, 2.5) is None


def test_what_the_load_balancer_tells_besides_is_passed_over() -> None:
    other = f'{PREFIX}open_connections{{agent="agent-9"}} 7\n'
    nameless = f'{PREFIX}requests_total{{status="2xx"}} 7\n{PREFIX}in_flight_requests{{}} no\n'
    assert set(parse(text({"agent-1": 1}) + other + nameless, 0.0).agents) == {"agent-1"}


def test_percentiles_end_at_the_last_finite_limit() -> None:
    buckets = {0.01: 1.0, 0.1: 2.0, float("inf"): 10.0}
    assert quantile(buckets, 0.95) == 100.0
    assert quantile(buckets, 0.15) == pytest.approx(55.0)
    assert quantile({0.01: 4.0}, 1.0) == 10.0
    assert quantile({0.01: 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None
