# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clusterops.cli.simulate import simulate
from clusterops.errors import ClusterOpsError, UsageError
from clusterops.state import CLUSTER_FILE_ENV


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cluster.yml"
    path.write_text("cluster_name: mine\nagents_max: 3\n", encoding="utf-8")
    monkeypatch.setenv(CLUSTER_FILE_ENV, str(path))


def run(*arguments: object) -> str:
    """What the command prints; its errors are raised."""
    app = typer.Typer()
    app.command()(simulate)
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception:
        raise result.exception
    return result.output


def policy(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_is_the_clusters_own_policy() -> None:
    lines = run("--trace", "step").splitlines()
    assert lines[0].startswith("Trace step, 1 h, at most 120 requests/s")
    assert lines[1].split("  ")[0] == "Policy"
    row = lines[2].split()
    assert row[0] == "cluster"
    assert row[-3] == "3"  # most agents: its agents_max
    assert len(lines) == 3


def test_policies_are_compared_with_a_row_each(tmp_path: Path) -> None:
    small = policy(tmp_path, "small.yml", "agents_max: 1\n")
    other = policy(tmp_path, "other/small.yml", "agents_min: 4\nagents_max: 4\n")
    rows = run("--policy", small, "--policy", other, "--trace", "step").splitlines()[2:]
    assert [row.split()[-3] for row in rows] == ["1", "4"]
    assert rows[0].startswith("small  ") and rows[1].startswith("small (2)  ")


def test_json_has_totals_and_every_tick(tmp_path: Path) -> None:
    trace = policy(tmp_path, "mine.csv", "0,10\n30,200\n60,0\n")
    data = json.loads(run("--trace", trace, "--json"))
    assert data["trace"] == {"name": "mine.csv", "duration_s": 60}
    (one,) = data["policies"]
    rows = [dict(zip(data["tick_columns"], tick, strict=True)) for tick in one["ticks"]]
    assert [row["t"] for row in rows] == [0, 10, 20, 30, 40, 50]
    assert [row["offered_rps"] for row in rows] == [10, 10, 10, 200, 200, 200]
    assert one["changes"][0]["t"] == 30
    assert one["totals"]["requests"] == 30 * 10 + 30 * 200


def test_agents_max_and_capacity_can_be_beyond_a_cluster() -> None:
    arguments = ("--trace", "step", "--hours", 2, "--peak", 600, "--capacity", 10)
    data = json.loads(run(*arguments, "--agents-max", 200, "--json"))
    assert data["policies"][0]["totals"]["most_agents"] > 80
    assert data["policies"][0]["ticks"][-1][-1] == 0  # no errors in the end


def totals(*arguments: object) -> dict[str, float]:
    found: dict[str, float] = json.loads(run(*arguments, "--json"))["policies"][0]["totals"]
    return found


def test_how_agents_come_and_go_can_be_chosen(tmp_path: Path) -> None:
    path = policy(tmp_path, "p.yml", "agents_max: 9\nscaling_policy: target_tracking\n")
    crowd = ("--policy", path, "--trace", "step", "--peak", 400)
    usual = totals(*crowd)
    assert totals(*crowd, "--actions-at-once", 1)["errors"] > usual["errors"]
    assert totals(*crowd, "--start-seconds", 60)["errors"] > usual["errors"]
    assert totals(*crowd, "--start-seconds", 0)["errors"] < usual["errors"]
    daily = ("--policy", path, "--trace", "daily", "--peak", 400)
    assert totals(*daily, "--drain-seconds", 300)["vm_seconds"] > totals(*daily)["vm_seconds"]
    line = run(*crowd, "--actions-at-once", 2, "--start-seconds", 60, "--drain-seconds", 7)
    assert "starts in 60 s (2 at a time) and drains in 7 s." in line.splitlines()[0]


def test_failures_are_counted_where_they_are_asked_for() -> None:
    first, headers, row = run("--trace", "step", "--failures", 10).splitlines()
    assert "fails 10 times an hour" in first
    assert headers.split()[-1] == "Failures"
    assert int(row.split()[-1]) == totals("--trace", "step", "--failures", 10)["failures"] > 0
    assert "Failures" not in run("--trace", "step")
    assert totals("--trace", "step")["failures"] == 0


def test_noise_changes_decisions_the_same_way_every_time() -> None:
    arguments = ("--trace", "ramp", "--noise", 15)
    noisy = run(*arguments)
    assert "noise of 15 %" in noisy.splitlines()[0]
    assert run(*arguments) == noisy
    assert totals(*arguments)["changes"] != totals("--trace", "ramp")["changes"]


def test_a_plot_is_written(tmp_path: Path) -> None:
    path = tmp_path / "plot.html"
    assert str(path) in run("--trace", "spike", "--plot", path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trace", "weekly"], "found 'weekly'; allowed: step, ramp, spike, daily"),
        (["--trace", "no.csv"], "no.csv: cannot be read"),
        (["--policy", "no.yml"], "no.yml: cannot be read"),
        (["--hours", "0"], "--hours: found 0"),
        (["--hours", "nan"], "--hours: found nan"),
        (["--peak", "-1"], "--peak: found -1"),
        (["--capacity", "inf"], "--capacity: found inf"),
        (["--agents-max", "10001"], "--agents-max: found 10001"),
        (["--actions-at-once", "0"], "--actions-at-once: found 0; allowed: at least 1, at most"),
        (["--start-seconds", "-1"], "--start-seconds: found -1; allowed: at least 0"),
        (["--drain-seconds", "3601"], "--drain-seconds: found 3601; allowed: at least 0"),
        (["--failures", "-0.1"], "--failures: found -0.1; allowed: at least 0"),
        (["--failures", "nan"], "--failures: found nan"),
        (["--noise", "100.5"], "--noise: found 100.5; allowed: at least 0, at most 100"),
        (["--plot", "no/such/folder.html"], "--plot: no/such/folder.html cannot be written"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(ClusterOpsError) as caught:
        run(*arguments)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scale_up_cpu_percent: 20\n", "scale_down_cpu_percent: 30 must be below"),
        ("scale_up_cpu: 20\n", "scale_up_cpu: unknown key"),
        ("scaling_policy: nothing\n", "found 'nothing', which is not installed"),
        ("- 1\n", "holds no keys"),
        ("cluster_name: other\n", "has no key about scaling"),
        ("scaling_policy: [\n", "is not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_policy_file_is_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run("--policy", policy(tmp_path, "bad.yml", text))
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_fewer_agents_than_the_policys_minimum_are_refused(tmp_path: Path) -> None:
    path = policy(tmp_path, "p.yml", "agents_min: 3\n")
    with pytest.raises(UsageError, match=r"at least agents_min of .*p\.yml \(3\)"):
        run("--policy", path, "--agents-max", 2)
