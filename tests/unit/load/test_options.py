# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from collections import Counter

import pytest

from clusterops.errors import UsageError
from clusterops.load.mix import Mix
from clusterops.load.options import LoadOptions, loopback_url, parse_think_time


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost:80"),
        ("https://127.8.9.10", "https://127.8.9.10:443"),
        ("http://[::1]:81", "http://[::1]:81"),
    ],
)
def test_loopback_is_allowed(given: str, url: str) -> None:
    assert loopback_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://example.org",
        "http://localhost.example.org",
        "http://127.0.0.1@example.org",
        "http://user:word@127.0.0.1",
        "http://2130706433/",
        "http://127.0.0.1:99999",
        "http://127.0.0.1/path",
        "http://127.0.0.1?x",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://",
        "http://[::1",
        "",
    ],
)
def test_everything_else_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        loopback_url(given)


def test_options_survive_the_way_to_the_runner() -> None:
    options = LoadOptions(
        "http://127.0.0.1:80", 7, 12.5, ramp_s=2, think_min_s=0, think_max_s=1, path="/a?b=c"
    )
    assert LoadOptions.from_arguments(options.command_line()) == options


def test_the_runner_refuses_other_machines_too() -> None:
    arguments = LoadOptions("http://example.org:80", 1, 1).command_line()
    with pytest.raises(UsageError):
        LoadOptions.from_arguments(arguments)


def test_think_time() -> None:
    assert parse_think_time("0.05-0.1") == (0.05, 0.1)
    assert parse_think_time("2") == (2, 2)
    for wrong in ("", "-", "a", "1-b", "-1-2"):
        with pytest.raises(UsageError):
            parse_think_time(wrong)


def test_the_mix_covers_the_contract() -> None:
    mix = Mix(seed=1)
    drawn = [mix.draw() for _ in range(5000)]
    names = Counter(request.name for request in drawn)
    assert names["POST calculate"] == pytest.approx(2000, rel=0.1)
    assert names["GET calculated"] == pytest.approx(2000, rel=0.1)
    assert names["GET most-requested"] == pytest.approx(1000, rel=0.15)
    posts = {request.path for request in drawn if request.method == "POST"}
    assert posts == {f"/api/v1/fibonacci/calculate/{index}" for index in range(41)}


def test_expected_refusals_are_not_failures() -> None:
    mix = Mix(seed=1)
    allowed = {request.name: request.allowed for request in (mix.draw() for _ in range(500))}
    assert allowed == {
        "POST calculate": {200, 409},
        "GET calculated": {200},
        "GET most-requested": {200, 404},
    }


def test_one_path_for_other_applications() -> None:
    request = Mix("/health").draw()
    assert (request.method, request.path) == ("GET", "/health")
    assert {200, 302} <= request.allowed
    assert not {404, 429, 500} & request.allowed


def test_gevent_stays_out_of_this_process() -> None:
    assert "gevent" not in sys.modules
