# SPDX-License-Identifier: GPL-3.0-or-later
"""After all that was done with the cluster, its secrets are nowhere but where they belong."""

from __future__ import annotations

import secrets as random
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clusterops.engine_names import cluster_images
from clusterops.secrets_of import Secret, found_in, harmless_files, secrets_of
from clusterops.state import State
from tests.e2e.cluster import ROOT, Cluster, request
from tests.e2e.secret_search import (
    ProcessLists,
    in_image,
    in_node,
    in_repository,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
def state(cluster: Cluster) -> State:
    return State.beside(cluster.folder / "cluster.yml")


@pytest.fixture
def secrets(state: State) -> list[Secret]:
    known, unknown = secrets_of(state)
    assert unknown == [], "secrets_of.py has to say whether these hold secrets"
    names = {secret.name for secret in known}
    assert names >= {
        "token", "ssh/id_ed25519", "ssh/host_ca", "tls/ca.key", "tls/control-1.key",
        "secrets/redis", "secrets/redis-fibonacci", "secrets/postgres-fibonacci",
    }  # fmt: skip
    return known


@pytest.fixture
def planted(cluster: Cluster) -> Iterator[Secret]:
    """A secret that is where none may be, on control-1."""
    secret = Secret("planted", random.token_hex(16))
    node = [f"{cluster.name}-control-1", "sh", "-c"]
    plant = (
        'read -r secret; echo "$secret" > /etc/planted; echo "$secret" > /var/log/planted;'
        'chmod 600 /var/log/planted; echo "$secret" | base64 | logger --tag planted;'
        'echo "$secret" > /etc/private; chmod 600 /etc/private;'
        '(exec -a "planted $secret" sleep 120) > /dev/null 2>&1 & journalctl --sync'
    )
    command = ["docker", "exec", "-i", *node[:1], "bash", "-c", plant]
    subprocess.run(command, input=f"{secret.text}\n", check=True, text=True)
    yield secret
    remove = "rm -f /etc/planted /etc/private /var/log/planted; pkill -f '^planted '"
    subprocess.run(["docker", "exec", *node, remove], check=True)


def test_no_secret_is_on_a_node_where_anyone_may_read_it(
    cluster: Cluster, secrets: list[Secret], planted: Secret
) -> None:
    nodes = [node["name"] for node in cluster.status()["nodes"] if node["state"] == "running"]
    assert len(nodes) >= 2
    with ThreadPoolExecutor() as pool:
        searches = {
            node: pool.submit(in_node, f"{cluster.name}-{node}", [*secrets, planted])
            for node in nodes
        }
    found = {
        (node, place): names for node in nodes for place, names in searches[node].result().items()
    }
    # What was planted shows that the search finds something; a private file is no place.
    for place in ("journal", "/var/log/planted", "/etc/planted", "process list"):
        assert found.pop(("control-1", place), None) == {"planted"}, place
    assert found == {}


def test_no_secret_is_in_an_image(cluster: Cluster, secrets: list[Secret]) -> None:
    images = [image for image in cluster_images(cluster.name) if "node-agent" in image]
    assert [in_image(image, secrets) for image in images] == [{}]
    control = Secret("control", "clusterops-metrics-api")
    assert in_image(images[0], [control]) != {}


def test_no_secret_is_in_the_repository(secrets: list[Secret]) -> None:
    assert in_repository(ROOT, secrets) == {}
    assert in_repository(ROOT, [Secret("control", "SPDX-License-Identifier")]) != {}


def test_no_secret_is_in_a_file_of_the_host_that_is_not_for_it(
    state: State, secrets: list[Secret]
) -> None:
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    files = list(harmless_files(state))
    assert any(path.is_relative_to(state.logs) for path in files)
    found = {
        path.name: names
        for path in files
        if (names := found_in(path.read_bytes().decode("latin-1"), secrets))
    }
    assert found == {}
    for secret in secrets:
        assert stat.S_IMODE((state.root / secret.name).stat().st_mode) & 0o077 == 0, secret.name


def test_no_secret_is_told_while_the_cluster_works(
    cluster: Cluster, secrets: list[Secret], state: State
) -> None:
    """A run of `up`, what commands answer, and what they say when they fail."""
    with ProcessLists(secrets) as seen:
        answers = [cluster.run("up")]
    assert seen.looks > 20
    assert seen.found == {}
    broken = [
        ["deploy", "apps/nothing"],
        ["deploy", "https://127.0.0.1:9/nothing.git"],
        ["rollback", "nothing"],
        ["ssh", "agent-9"],
        ["ssh", "agent-1", "--", "false"],
        ["scale", "99"],
    ]
    for arguments in broken:
        answers.append(cluster.run(*arguments, check=False))
        assert answers[-1].returncode != 0, arguments
    for arguments in (["status", "--json"], ["status"], ["doctor"], ["logs"]):
        answers.append(cluster.run(*arguments, check=False))
    said = {
        " ".join(answer.args[1:]): names
        for answer in answers
        if (names := found_in(answer.stdout + answer.stderr, secrets))
    }
    assert said == {}
    wrong = state.token()[:-1] + ("0" if state.token()[-1] != "0" else "1")
    refused = request("GET", f"{cluster.url}/nothing", None, wrong)
    assert found_in(str(refused), [*secrets, Secret("wrong token", wrong)]) == []
