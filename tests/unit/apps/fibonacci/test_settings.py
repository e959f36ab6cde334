# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from fibonacci.errors import SettingsError
from fibonacci.settings import load_settings

BOTH = ("POSTGRES_URL", "REDIS_URL")
GOOD = {"POSTGRES_URL": "postgresql://u:p4ss@db/x", "REDIS_URL": "redis://:p4ss@r:6379/0"}


def test_defaults() -> None:
    settings = load_settings(GOOD, BOTH)
    assert (settings.port, settings.log_level, settings.host) == (5000, "INFO", "0.0.0.0")


def test_every_problem_is_named_in_one_line() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "70000", "LOG_LEVEL": "loud"}, BOTH)
    text = str(caught.value)
    assert "\n" not in text
    for part in ("POSTGRES_URL is not set", "REDIS_URL is not set", "'70000'", "'LOUD'"):
        assert part in text


def test_the_worker_needs_redis_only() -> None:
    assert load_settings({"REDIS_URL": "rediss://r"}, ("REDIS_URL",)).postgres_url == ""


@pytest.mark.parametrize("url", ["db.example:5432", "mysql://u:p4ss@db/x", "postgresql://["])
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="POSTGRES_URL is not a URL of the form") as caught:
        load_settings({**GOOD, "POSTGRES_URL": url}, BOTH)
    assert "p4ss" not in str(caught.value)


def test_the_representation_holds_no_password() -> None:
    assert "p4ss" not in repr(load_settings(GOOD, BOTH))
