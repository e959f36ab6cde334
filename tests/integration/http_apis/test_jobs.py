# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as real processes behind the Server Manager's API, and what the scaler passes on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from clusterops import cluster_ca, tokens
from clusterops.http_api.audit import now_text
from clusterops.scaler.host_jobs import Host
from clusterops.scaler.settings import ScalerSettings
from clusterops.server_manager import job_processes
from clusterops.server_manager.jobs import Record
from clusterops.state import State, write_private
from tests.integration.http_apis.conftest import Api
from tests.integration.scaler.conftest import Daemon

pytestmark = pytest.mark.integration

JOBS = "/api/v1/jobs"
LOAD = {"kind": "load", "profile": "ramp", "duration_s": 60, "rate": 5}


def call(
    api: Api, method: str, path: str, body: Any = None, token: str | None = None
) -> tuple[int, Any]:
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{api.url}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token or api.token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def marked(state: State) -> list[int]:
    """Processes of the cluster's jobs."""
    needle = f"{job_processes.MARK}={job_processes.mark(state)}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.fixture
def up(manager: Api) -> Iterator[Api]:
    """A cluster whose control node runs, and no job."""
    call(manager, "POST", "/api/v1/servers", {"name": "control-1"})
    call(manager, "POST", "/api/v1/servers/power", {"action": "on", "server": "control-1"})
    for kind in ("load", "deploy", "rollback"):
        call(manager, "DELETE", f"{JOBS}/{kind}")
    yield manager
    for kind in ("load", "deploy", "rollback"):
        call(manager, "DELETE", f"{JOBS}/{kind}")


@pytest.mark.parametrize("kind", ["load", "rollback"])
def test_a_job_runs_and_all_of_it_ends(up: Api, kind: str) -> None:
    body = LOAD if kind == "load" else {"kind": kind}
    status, job = call(up, "POST", JOBS, body)
    assert (status, job["state"]) == (202, "running")
    assert call(up, "POST", JOBS, body)[0] == 409
    deadline = time.monotonic() + 10
    while not (found := call(up, "GET", JOBS)[1]["jobs"])[-1]["message"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {each["kind"]: each["message"] for each in found}[kind] == "working"
    assert len(marked(up.state)) == 1
    own = tokens.path(up.state, "scaler").read_text().strip()
    status, job = call(up, "DELETE", f"{JOBS}/{kind}", token=own)
    assert (status, job["state"]) == (200, "stopped")
    assert job["ended_at"] > job["started_at"]
    assert marked(up.state) == []
    assert call(up, "DELETE", f"{JOBS}/{kind}")[0] == 404
    for file in job_processes.folder(up.state).iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_server_manager_left_is_ended(tmp_path: Path) -> None:
    state = State.beside(tmp_path / "cluster.yml")
    state.create()
    value = f"{job_processes.mark(state)}load"
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, job_processes.MARK: value})
    job_processes.folder(state).mkdir()
    record = Record("load", "running", now_text(), {"rate": 5}, group=left.pid)
    write_private(job_processes.folder(state) / "load.json", record.text())
    assert job_processes.end_leftovers(state) == ["load"]
    assert left.wait(5) == -9
    assert job_processes.end_leftovers(state) == []
    (told,) = job_processes.Jobs(state, lambda: []).list()
    assert (told["state"], told["message"]) == ("stopped", "stopped: the Server Manager ended")


def test_the_scaler_passes_on_what_people_ask(scaler: Api, scaler_daemon: Daemon) -> None:
    cluster = scaler_daemon.cluster
    cluster.job = {}
    assert call(scaler, "GET", JOBS, token=scaler.read_token)[0] == 200
    assert call(scaler, "POST", JOBS, LOAD, token=scaler.read_token)[0] == 403
    status, job = call(scaler, "POST", JOBS, LOAD)
    assert (status, job["kind"]) == (202, "load")
    assert cluster.asked[-1] == ("POST", JOBS, LOAD)
    assert call(scaler, "POST", JOBS, LOAD)[0] == 409
    assert call(scaler, "DELETE", f"{JOBS}/load")[0] == 200
    assert call(scaler, "DELETE", f"{JOBS}/load")[0] == 404
    before = len(cluster.asked)
    assert call(scaler, "POST", JOBS, {**LOAD, "rate": 5000})[0] == 422
    assert call(scaler, "DELETE", f"{JOBS}/..%2Fservers")[0] == 404
    assert call(scaler, "POST", "/api/v1/agents/power/faults", {"fault": "kill"})[0] == 404
    assert len(cluster.asked) == before, "what is wrong goes no further"
    fault = "/api/v1/agents/agent-1/faults"
    assert call(scaler, "POST", fault, {"fault": "freeze"}) == (200, {"status": "told"})
    assert cluster.asked[-1] == ("POST", "/api/v1/servers/agent-1/faults", {"fault": "freeze"})
    assert call(scaler, "POST", "/api/v1/agents/agent-99/faults", {"fault": "kill"})[0] == 404
    entries = call(scaler, "GET", "/api/v1/audit?limit=2")[1]["audit"]
    assert [(each["who"], each["action"], each["server"]) for each in entries] == [
        ("admin", "kill", "agent-99"), ("admin", "freeze", "agent-1"),
    ]  # fmt: skip


def test_a_server_manager_that_is_out_is_told(scaler: Api, scaler_daemon: Daemon) -> None:
    scaler_daemon.cluster.server_manager = False
    try:
        for method, path, body in (
            ("GET", JOBS, None), ("POST", JOBS, LOAD), ("DELETE", f"{JOBS}/load", None),
            ("POST", "/api/v1/agents/agent-1/faults", {"fault": "kill"}),
        ):  # fmt: skip
            status, answer = call(scaler, method, path, body)
            assert (status, answer) == (502, {"error": "Server Manager: out"})
    finally:
        scaler_daemon.cluster.server_manager = True


async def test_the_scaler_asks_over_tls_with_a_token_of_its_own(up: Api, tmp_path: Path) -> None:
    other = State.beside(tmp_path / "cluster.yml")
    cluster_ca.ensure_authority(other)

    def host(authority: Path) -> Host:
        return Host(
            ScalerSettings(
                server_manager_url=f"https://127.0.0.1:{up.port}",
                server_manager_ca_file=authority,
                token_file=tokens.path(up.state, "scaler"),
            )
        )

    ours = host(up.state.tls_authority)
    assert (await ours.ask("POST", JOBS, LOAD)).status_code == 202
    assert (await ours.ask("DELETE", f"{JOBS}/load")).status_code == 200
    with pytest.raises(HTTPException, match="not one of this cluster") as refused:
        await host(other.tls_authority).ask("GET", JOBS)
    assert refused.value.status_code == 502
    last = json.loads(up.state.audit_file.read_text().splitlines()[-1])
    assert (last["who"], last["action"]) == ("scaler", "stop load")
