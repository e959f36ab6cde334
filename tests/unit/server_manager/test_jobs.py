# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs of the host may start, as what command, and how they are told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterops.http_api.jobs import InvalidBody, job_request
from clusterops.server_manager import jobs
from clusterops.state import project_root

from .conftest import READ_TOKEN, SCALER_TOKEN, Fixture

JOBS = "/api/v1/jobs"
LOAD = {"kind": "load", "profile": "spike", "duration_s": 30, "rate": 20}


async def up(api: httpx.AsyncClient) -> None:
    """A cluster whose control node runs."""
    for name in ("control-1", "agent-1"):
        assert (await api.post("/api/v1/servers", json={"name": name})).status_code == 201
        await api.post("/api/v1/servers/power", json={"action": "on", "server": name})


# --- what is decided -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "kind: found nothing; allowed: load, deploy, rollback"),
        ({"kind": "rm"}, "kind: found 'rm'"),
        ({"kind": ["load"]}, "kind: found ['load']"),
        ({"kind": "load", "rate": 1001}, "rate: found 1001; allowed: less than or equal to 1000"),
        ({"kind": "load", "rate": True}, "rate: found True"),
        ({"kind": "load", "rate": float("nan")}, "rate: found nan"),
        ({"kind": "load", "duration_s": 3601}, "duration_s: found 3601"),
        ({"kind": "load", "duration_s": "60"}, "duration_s: found '60'"),
        ({"kind": "load", "profile": "flood"}, "profile: found 'flood'; allowed: 'constant'"),
        ({"kind": "load", "url": "http://192.0.2.1"}, "'url': unknown key; allowed: kind, profile"),
        ({"kind": "deploy"}, "application: is missing"),
        ({"kind": "rollback", "release": "x"}, "'release': unknown key"),
    ],
)
def test_what_is_not_allowed_is_told_in_one_line(body: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidBody) as found:
        job_request(body)
    assert told in str(found.value)
    assert "\n" not in str(found.value)


@given(st.dictionaries(st.text(max_size=12), st.recursive(st.none() | st.text(), st.lists)))
def test_any_other_object_is_refused(body: dict[str, Any]) -> None:
    body["kind"] = body.get("kind", "load")
    try:
        request = job_request(body)
    except InvalidBody as error:
        assert "\n" not in str(error)
    else:
        assert set(body) <= {"kind", *jobs.arguments_of(request)}


def test_only_applications_of_the_project_are_deployed(tmp_path: Path) -> None:
    for name in ("whoami", "pages"):
        (tmp_path / "apps" / name).mkdir(parents=True)
        (tmp_path / "apps" / name / "app.yml").touch()
    (tmp_path / "apps/notes").mkdir()
    known = jobs.known_applications(tmp_path, "../mine")
    assert known == ["apps/pages", "apps/whoami", "../mine"]
    assert jobs.known_applications(tmp_path, "apps/pages") == known[:2]
    for path in ("apps/notes", "/etc", "apps/../apps/pages", "apps/pages#x", "--help"):
        with pytest.raises(jobs.UnknownApplication, match="allowed: apps/pages, apps/whoami"):
            jobs.check(job_request({"kind": "deploy", "application": path}), (), known)
    jobs.check(job_request({"kind": "deploy", "application": "../mine"}), (), known)


@pytest.mark.parametrize(
    ("body", "running", "may"),
    [
        (LOAD, (), True),
        (LOAD, ("deploy", "rollback"), True),
        (LOAD, ("load",), False),
        ({"kind": "rollback"}, ("load",), True),
        ({"kind": "rollback"}, ("deploy",), False),
        ({"kind": "deploy", "application": "apps/whoami"}, ("rollback",), False),
    ],
)
def test_what_may_run_side_by_side(
    body: dict[str, Any], running: tuple[str, ...], may: bool
) -> None:
    if may:
        jobs.check(job_request(body), running, ["apps/whoami"])
        return
    with pytest.raises(jobs.JobRefused):
        jobs.check(job_request(body), running, ["apps/whoami"])


def test_a_job_is_the_projects_own_command_line() -> None:
    load = jobs.command(job_request(LOAD), Path("/state/progress.json"))
    assert load[1:] == [
        "-P", "-m", "clusterops.cli", "load", "--profile=spike", "--duration=30", "--rate=20",
        "--progress=/state/progress.json",
    ]  # fmt: skip
    deploy = jobs.command(job_request({"kind": "deploy", "application": "apps/x"}), Path("p"))
    assert deploy[4:] == ["deploy", "apps/x"]
    assert jobs.command(job_request({"kind": "rollback"}), Path("p"))[4:] == ["rollback"]


def test_the_projects_own_applications_are_known() -> None:
    assert "apps/fibonacci" in jobs.known_applications(project_root(), "apps/fibonacci")


@pytest.mark.parametrize(
    ("code", "asked", "output", "told"),
    [
        (0, False, "building\n\nwhoami, release 2, is deployed.\n", ("done", "whoami, release 2")),
        (1, False, "x\nError: no \x1b[0m disk\n-> free some\n", ("failed", "no ?[0m disk")),
        (3, False, "", ("failed", "it ended with exit code 3")),
        (-2, True, "half", ("stopped", "stopped; last: half")),
        (0, True, "", ("stopped", "stopped")),
    ],
)
def test_how_a_job_ended(code: int, asked: bool, output: str, told: tuple[str, str]) -> None:
    state, message = jobs.outcome(code, asked, output)
    assert state == told[0]
    assert message.startswith(told[1])


def test_a_damaged_record_is_none() -> None:
    record = jobs.Record("load", "running", "2026-01-31T14:05:30.000Z", {"rate": 5}, group=7)
    assert jobs.read_record(record.text()) == record
    assert "group" not in record.shown()
    for text in ("", "[]", "{}", '{"kind": "load"}', record.text().replace("load", "rm")):
        assert jobs.read_record(text) is None


def test_figures_of_a_load_that_runs() -> None:
    figures = dict.fromkeys(jobs.PROGRESS, 1.0)
    assert jobs.progress_of(json.dumps({**figures, "secret": "x"})) == figures
    assert jobs.progress_of("{") == jobs.progress_of("[]") == jobs.progress_of("{}") == {}


# --- over HTTP -------------------------------------------------------------------------------


async def test_a_job_starts_is_told_and_is_stopped(
    manager: Fixture, api: httpx.AsyncClient
) -> None:
    await up(api)
    answer = await api.post(JOBS, json=LOAD)
    assert answer.status_code == 202
    assert answer.json() == {
        "kind": "load", "state": "running", "started_at": "2026-01-31T14:05:30.000Z",
        "ended_at": None, "arguments": {"profile": "spike", "duration_s": 30.0, "rate": 20.0},
        "progress": {}, "message": "",
    }  # fmt: skip
    assert (await api.post(JOBS, json=LOAD)).status_code == 409
    listed = (await api.get(JOBS)).json()
    assert [each["state"] for each in listed["jobs"]] == ["running"]
    assert listed["applications"] == ["apps/whoami"]
    assert (listed["rate_max"], listed["duration_max_s"]) == (1000, 3600)
    stopped = await api.delete(f"{JOBS}/load")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    said = [(entry.who, entry.action, entry.status) for entry in manager.audited[-3:]]
    assert said == [
        ("admin", "load profile=spike duration_s=30.0 rate=20.0", 202),
        ("admin", "load profile=spike duration_s=30.0 rate=20.0", 409),
        ("admin", "stop load", 200),
    ]


async def test_what_is_wrong_with_a_job(api: httpx.AsyncClient) -> None:
    refused = await api.post(JOBS, json={"kind": "rollback"})
    assert (refused.status_code, refused.json()["error"]) == (
        409, "The cluster is not up: control-1 does not run.",
    )  # fmt: skip
    await up(api)
    assert (await api.post(JOBS, content="{")).status_code == 400
    assert (await api.post(JOBS, json={"kind": "load", "rate": 0})).status_code == 422
    unknown = await api.post(JOBS, json={"kind": "deploy", "application": "/etc"})
    assert unknown.status_code == 422
    assert "allowed: apps/whoami" in unknown.json()["error"]
    for kind in ("load", "rm"):
        assert (await api.delete(f"{JOBS}/{kind}")).status_code == 404


async def test_who_may_start_and_stop_jobs(manager: Fixture, api: httpx.AsyncClient) -> None:
    await up(api)
    async with manager.client(Authorization=f"Bearer {READ_TOKEN}") as reader:
        assert (await reader.get(JOBS)).status_code == 200
        assert (await reader.post(JOBS, json=LOAD)).status_code == 403
        assert (await reader.delete(f"{JOBS}/load")).status_code == 403
    async with manager.client(Authorization=f"Bearer {SCALER_TOKEN}") as scaler:
        assert (await scaler.post(JOBS, json=LOAD)).status_code == 202
        assert (await scaler.delete(f"{JOBS}/load")).status_code == 200
        assert (await scaler.delete("/api/v1/servers/agent-1")).status_code == 403
        assert (await scaler.delete(f"{JOBS}/../servers/agent-1")).status_code == 403


# --- faults ----------------------------------------------------------------------------------


async def test_an_agent_is_frozen_thawed_and_killed(
    manager: Fixture, api: httpx.AsyncClient
) -> None:
    await up(api)
    told = []
    for fault in ("freeze", "freeze", "thaw", "thaw", "kill", "kill"):
        answer = await api.post("/api/v1/servers/agent-1/faults", json={"fault": fault})
        assert answer.status_code == 200
        state = (await api.get("/api/v1/servers/agent-1")).json()["state"]
        told.append((answer.json()["status"], state))
    assert told == [
        ("Server 'agent-1' is frozen.", "paused"),
        ("Server 'agent-1' was frozen already.", "paused"),
        ("Server 'agent-1' runs again.", "running"),
        ("Server 'agent-1' was not frozen.", "running"),
        ("Server 'agent-1' was powered off without warning.", "stopped"),
        ("Server 'agent-1' was off already.", "stopped"),
    ]
    last = manager.audited[-1]
    assert (last.who, last.action, last.server, last.status) == ("admin", "kill", "agent-1", 200)


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("control-1", {"fault": "kill"}, 409, "'control-1' is spared: faults are for agents."),
        ("agent-2", {"fault": "kill"}, 404, "Unknown server 'agent-2'."),
        ("nobody", {"fault": "kill"}, 404, "Unknown server 'nobody'."),
        ("agent-1", {"fault": "burn"}, 422, "fault: found 'burn'; allowed: 'kill'"),
        ("agent-1", {}, 422, "fault: is missing"),
        ("agent-1", {"fault": "kill", "grace": 0}, 422, "'grace': unknown key"),
    ],
)
async def test_faults_that_are_refused(
    api: httpx.AsyncClient, name: str, body: dict[str, Any], status: int, told: str
) -> None:
    await up(api)
    answer = await api.post(f"/api/v1/servers/{name}/faults", json=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]


async def test_a_machine_that_is_off_is_not_frozen(api: httpx.AsyncClient) -> None:
    await api.post("/api/v1/servers", json={"name": "agent-1"})
    for fault in ("freeze", "thaw"):
        answer = await api.post("/api/v1/servers/agent-1/faults", json={"fault": fault})
        assert answer.status_code == 409
        assert "'agent-1' is stopped" in answer.json()["error"]


async def test_a_provider_without_faults(manager: Fixture, api: httpx.AsyncClient) -> None:
    manager.service._driver = SimpleNamespace(provider="plain")  # type: ignore[assignment]
    answer = await api.post("/api/v1/servers/agent-1/faults", json={"fault": "freeze"})
    assert answer.status_code == 501
    assert answer.json()["error"] == "The provider 'plain' cannot freeze machines."
