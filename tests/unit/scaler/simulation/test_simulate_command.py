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
