"""Averages over the window, and when numbers are no longer to be believed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clusterops.metrics_api.readers import CpuUsage
from clusterops.metrics_api.sampler import STALE_AFTER_S, CpuWindow, LoadAverage, Sampler, percent


def feed(window: CpuWindow, rates: list[float], cpus: float = 1.0) -> float:
    """One sample a second; `rates` are CPUs in use during each second."""
    used, result = 0.0, window.add(0.0, CpuUsage(0.0, cpus))
    for second, rate in enumerate(rates, start=1):
        used += rate
        result = window.add(float(second), CpuUsage(used, cpus))
    return result


def test_the_first_sample_has_no_use_yet() -> None:
    assert feed(CpuWindow(), []) == 0.0


def test_use_is_relative_to_the_quota() -> None:
    assert feed(CpuWindow(), [0.25] * 5, cpus=0.5) == pytest.approx(50)


def test_only_the_last_ten_seconds_count() -> None:
    assert feed(CpuWindow(), [1.0] * 30 + [0.0] * 10) == pytest.approx(0)
    assert feed(CpuWindow(), [0.0] * 30 + [1.0] * 5) == pytest.approx(50)


def test_bursts_are_averaged() -> None:
    chance = random.Random(1)
    rates = [float(chance.random() < 0.5) for _ in range(40)]
    assert feed(CpuWindow(), rates) == pytest.approx(100 * sum(rates[-10:]) / 10)


def test_a_burst_above_the_quota_is_100_percent() -> None:
    assert feed(CpuWindow(), [0.8] * 3, cpus=0.5) == 100.0


def test_a_counter_that_begins_anew_is_not_a_negative_use() -> None:
    window = CpuWindow()
    feed(window, [0.5] * 5)
    assert window.add(6.0, CpuUsage(0.1, 1.0)) == 0.0
    assert window.add(7.0, CpuUsage(0.6, 1.0)) == pytest.approx(50)


def test_two_samples_at_one_moment_do_not_divide_by_zero() -> None:
    window = CpuWindow()
    window.add(1.0, CpuUsage(1.0, 1.0))
    assert window.add(1.0, CpuUsage(2.0, 1.0)) == 0.0


def test_the_load_average_approaches_what_runs() -> None:
    load, now = LoadAverage(), 0.0
    for _ in range(60):
        one, five, fifteen = load.add(now, 2)
        now += 5.0
    assert one == pytest.approx(2, abs=0.02)
    assert 0 < fifteen < five < one
    assert not load.due(now - 4.0)
    assert load.due(now)


def test_percent_stays_between_0_and_100() -> None:
    assert (percent(5, 0), percent(-1, 2), percent(3, 2), percent(1, 4)) == (0, 0, 100, 25)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "stat").write_text("cpu  100 0 0 100 0 0 0 0\ncpu0 1\n")
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")
    (proc / "loadavg").write_text("1.50 0.40 0.30 1/100 7\n")
    return tmp_path


def test_a_sample_holds_everything(machine: Path) -> None:
    now = 100.0
    sampler = Sampler(machine, clock=lambda: now)
    assert sampler.current() is None
    sampler.sample()
    snapshot = sampler.current()
    assert snapshot is not None
    assert snapshot.memory_percent == 75.0
    assert snapshot.load == (1.5, 0.4, 0.3)
    assert snapshot.cpus == 1
    assert 0 < snapshot.disk_free <= snapshot.disk_total


def test_old_numbers_are_no_numbers(machine: Path) -> None:
    now = 100.0
    sampler = Sampler(machine, clock=lambda: now)
    sampler.sample()
    (machine / "proc/stat").unlink()
    with pytest.raises(OSError):
        sampler.sample()
    assert sampler.current() is not None
    now += STALE_AFTER_S + 1
    assert sampler.current() is None
