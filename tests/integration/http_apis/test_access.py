# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, over real HTTP and TLS, while tokens change."""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from clusterops import cluster_ca, tokens
from clusterops.scaler.observe import Observer
from clusterops.scaler.settings import ScalerSettings
from clusterops.state import State
from tests.integration.http_apis.conftest import Api

pytestmark = pytest.mark.integration

SERVERS = "/api/v1/servers"


@pytest.mark.parametrize(
    ("name", "reading", "changing"),
    [
        ("manager", SERVERS, ("DELETE", f"{SERVERS}/agent-9")),
        ("manager", "/metrics", ("POST", SERVERS)),
        ("manager", "/docs", ("POST", f"{SERVERS}/power")),
        ("scaler", "/api/v1/status", ("DELETE", "/api/v1/hold")),
        ("scaler", "/api/v1/audit", ("POST", "/api/v1/pause")),
        ("scaler", "/openapi.json", ("POST", "/api/v1/desired")),
    ],
)
def test_what_each_token_opens(
    name: str, reading: str, changing: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    api: Api = request.getfixturevalue(name)
    method, path = changing
    assert api.status("GET", reading) == 401
    assert api.status("GET", reading, "wrong") == 401
    assert api.status("GET", reading, api.read_token) == 200
    assert api.status("GET", reading, api.token) == 200
    assert api.status(method, path) == 401
    assert api.status(method, path, api.read_token) == 403
    assert api.status(method, path, api.token) in (200, 400, 404)


def test_what_the_scalers_token_opens(manager: Api, scaler: Api) -> None:
    own = tokens.path(manager.state, "scaler").read_text().strip()
    assert manager.status("GET", SERVERS, own) == 200
    assert manager.status("POST", f"{SERVERS}/power", own) == 400  # let in, without a body
    assert manager.status("DELETE", f"{SERVERS}/agent-9", own) == 403
    assert scaler.status("GET", "/api/v1/status", own) == 401


def test_programs_of_the_same_node_may_scrape_and_nothing_else(scaler: Api) -> None:
    assert scaler.status("GET", "/metrics") == 200
    assert scaler.status("GET", "/api/v1/prometheus-targets") == 200
    assert scaler.status("GET", "/api/v1/events") == 401


def test_the_page_itself_needs_no_token(scaler: Api) -> None:
    assert scaler.status("GET", "/") == 200
    assert scaler.status("GET", "/static/js/main.js") == 200


def test_tokens_are_private_and_nowhere_else(manager: Api) -> None:
    state = manager.state
    found = {role: tokens.path(state, role) for role in tokens.FILES}
    for file in (*found.values(), tokens.access_file(state), state.audit_file):
        assert file.stat().st_mode & 0o777 == 0o600
    secrets = [file.read_text().strip() for file in found.values()]
    assert len(set(secrets)) == 3 and all(len(bytes.fromhex(each)) == 32 for each in secrets)
    public = "".join(
        file.read_text()
        for file in (state.audit_file, tokens.access_file(state), manager.folder / "log")
    )
    assert not any(each in public for each in secrets)


def test_tokens_are_replaced_while_everything_goes_on(manager: Api) -> None:
    state = manager.state
    own = tokens.path(state, "scaler")
    failures: list[int] = []
    stop = threading.Event()

    def scaler_at_work() -> None:
        while not stop.is_set():
            status = manager.status("GET", SERVERS, own.read_text().strip())
            if status != 200:
                failures.append(status)

    worker = threading.Thread(target=scaler_at_work)
    worker.start()
    try:
        for _ in range(2):
            old = {role: tokens.path(state, role).read_text().strip() for role in tokens.FILES}
            tokens.begin(state)
            for role, token in old.items():
                assert manager.status("GET", SERVERS, token) == 200, role
            time.sleep(0.7)  # the control node takes them now; it is a matter of seconds
            tokens.promote(state)
            tokens.finish(state)
    finally:
        stop.set()
        worker.join()
    assert failures == []
    new = {role: tokens.path(state, role).read_text().strip() for role in tokens.FILES}
    for role in tokens.FILES:
        assert old[role] != new[role]
        assert manager.status("GET", SERVERS, old[role]) == 401
        assert manager.status("GET", SERVERS, new[role]) == 200
    manager.token, manager.read_token = new["admin"], new["read"]


def test_who_did_what_is_written_down(manager: Api, scaler: Api) -> None:
    assert manager.status("DELETE", f"{SERVERS}/agent-48", manager.token) == 404
    assert manager.status("DELETE", f"{SERVERS}/agent-48", manager.read_token) == 403
    entries = [json.loads(line) for line in manager.state.audit_file.read_text().splitlines()]
    done, refused = entries[-2:]
    assert (done["who"], done["status"], done["action"], done["server"]) == (
        "admin", 404, "delete", "agent-48",
    )  # fmt: skip
    assert (refused["who"], refused["status"], refused["peer"]) == ("read", 403, "127.0.0.1")
    assert {"at", "service", "method", "path", "seconds"} <= refused.keys()

    assert scaler.status("DELETE", "/api/v1/pause", scaler.token) == 200
    headers = {"Authorization": f"Bearer {scaler.read_token}"}
    url = f"{scaler.url}/api/v1/audit?limit=1"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        (entry,) = json.loads(answer.read())["audit"]
    assert (entry["who"], entry["action"], entry["status"]) == ("admin", "resume", 200)
    journal = (scaler.folder / "log").read_text()
    assert f"audit {json.dumps(entry)}" in journal


def test_strangers_cannot_fill_the_disk(manager: Api) -> None:
    before = manager.state.audit_file.stat().st_size
    for _ in range(200):
        assert manager.status("POST", SERVERS, "wrong") == 401
    assert manager.state.audit_file.stat().st_size - before < 60 * 250


# --- TLS ------------------------------------------------------------------------------------------


def asked_over_tls(api: Api, authority: Path, host: str = "localhost") -> int:
    context = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(
        f"https://{host}:{api.port}/health", timeout=10, context=context
    ) as answer:
        return int(answer.status)


def test_the_same_port_speaks_tls(manager: Api, tmp_path: Path) -> None:
    assert asked_over_tls(manager, manager.state.tls_authority) == 200
    assert asked_over_tls(manager, manager.state.tls_authority, "127.0.0.1") == 200
    assert manager.status("GET", "/health") == 200
    other = State.beside(tmp_path / "cluster.yml")
    cluster_ca.ensure_authority(other)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        asked_over_tls(manager, other.tls_authority)


def test_old_tls_is_refused(manager: Api) -> None:
    context = ssl.create_default_context(cafile=manager.state.tls_authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with manager.connect() as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_new_authority_is_taken_up_while_it_serves(manager: Api) -> None:
    for file in manager.state.tls_dir.iterdir():
        file.unlink()
    cluster_ca.ensure_authority(manager.state)  # as `up` does
    assert asked_over_tls(manager, manager.state.tls_authority) == 200


async def test_the_scaler_checks_whom_it_talks_to(manager: Api, tmp_path: Path) -> None:
    other = State.beside(tmp_path / "cluster.yml")
    cluster_ca.ensure_authority(other)
    manager.status("POST", SERVERS, manager.token)
    for authority, known in ((manager.state.tls_authority, True), (other.tls_authority, False)):
        settings = ScalerSettings(
            server_manager_url=f"https://127.0.0.1:{manager.port}",
            server_manager_ca_file=authority,
            token_file=tokens.path(manager.state, "scaler"),
            load_balancer_admin_url="http://127.0.0.1:1",
            deployment_file=tmp_path / "none.json",
            state_dir=tmp_path,
        )
        observer = Observer(settings)
        try:
            seen = await observer.observe()
        finally:
            await observer.close()
        assert seen.servers_known is known
        assert any("not one of this cluster" in text for text in seen.problems) is not known
