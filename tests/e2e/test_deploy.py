# SPDX-License-Identifier: GPL-3.0-or-later
"""Another application, from a git repository, under load: good releases and bad ones.

By the command line, and at the end by the dashboard's buttons, which have the host run the same.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import ROOT, Cluster, docker, request, wait_for
from tests.e2e.dashboard import deploy, roll_back, unlocked
from tests.e2e.steady_client import SteadyClient

pytestmark = pytest.mark.e2e


# Changes (file, text, what it becomes) that no agent is to see, and what the user is told.
NO_BUILD = (("Dockerfile", "USER 10001", "RUN exit 3\nUSER 10001"),)
NO_VALUE = (("app.yml", "# environment:", "environment: {API_KEY: }\n# environment:"),)
NO_MIGRATION = (
    ("app.yml", "# migration_service:", "migration_service:"),
    (
        "compose.yml",
        "services:\n",
        "services:\n  migrate:\n    image: ${APP_IMAGE}\n    profiles: [tools]\n"
        "    command: [python3, -c, 'raise SystemExit(\"no such table\")']\n",
    ),
)
BROKEN = (
    (NO_BUILD, "exit code: 3"),
    (NO_VALUE, "needs API_KEY"),
    (NO_MIGRATION, "no such table"),
)


def health(_: int) -> tuple[str, str]:
    """What every application here answers."""
    return "GET", "/health"


class Repository:
    """A bare repository with whoami, served with the git protocol to the cluster's network."""

    def __init__(self, folder: Path, address: str) -> None:
        self._bare, self._work = folder / "served" / "hello.git", folder / "work"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self._bare], check=True)
        shutil.copytree(ROOT / "apps/whoami", self._work)
        self._git("init", "-q", "-b", "main")
        with socket.create_server((address, 0)) as free:
            port = free.getsockname()[1]
        self._server = subprocess.Popen(
            ["git", "daemon", "--export-all", f"--base-path={folder / 'served'}",
             f"--listen={address}", f"--port={port}", "--reuseaddr"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.url = f"git://{address}:{port}/hello.git"

    def push(self, *changes: tuple[str, str, str]) -> str:
        """Commit whoami as it is here, but for some texts (file, old, new); the commit."""
        shutil.copytree(ROOT / "apps/whoami", self._work, dirs_exist_ok=True)
        for file, old, new in changes:
            text = (self._work / file).read_text()
            assert old in text
            (self._work / file).write_text(text.replace(old, new))
        self._git("add", "--all")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit",
                  "--allow-empty", "-qm", "change")  # fmt: skip
        self._git("push", "-q", str(self._bare), "main")
        return self._git("rev-parse", "HEAD").strip()

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(10)

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self._work), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _network(cluster: Cluster) -> dict[str, str]:
    """The control node's place in the cluster's network, as the engine tells it."""
    container = f"{cluster.name}-control-1"
    networks = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", container))
    return next(iter(networks.values()))  # type: ignore[no-any-return]


@pytest.fixture
def repository(cluster: Cluster, tmp_path: Path) -> Iterator[Repository]:
    made = Repository(tmp_path, _network(cluster)["Gateway"])
    yield made
    made.close()


def _over_ssh(cluster: Cluster, repository: Repository, folder: Path) -> str:
    """The same repository, private: an account on the control node, and a deploy key for it."""
    key = folder / "deploy-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    cluster.on(
        "control-1",
        "set -eu; useradd --create-home --password '*' --shell /usr/bin/git-shell git; "
        f"cd /home/git; git clone --quiet --bare {repository.url} hello.git; "
        f"mkdir -m 700 .ssh; echo '{public}' >.ssh/authorized_keys; chown -R git: .; "
        # Nodes let nobody but root log in.
        "echo AllowUsers git >/etc/ssh/sshd_config.d/90-git.conf; systemctl reload ssh",
    )
    address = _network(cluster)["IPAddress"]
    host_key = cluster.on("control-1", "cat /etc/ssh/ssh_host_ed25519_key.pub")
    (folder / "known_hosts").write_text(f"{address} {host_key}")
    with (cluster.folder / "cluster.yml").open("a") as settings:
        settings.write(f"application_git_key_file: {key}\n")
        settings.write(f"application_git_known_hosts_file: {folder / 'known_hosts'}\n")
    return f"ssh://git@{address}/home/git/hello.git"


def _application(cluster: Cluster) -> dict[str, Any]:
    application: dict[str, Any] = cluster.status()["application"]
    return application


def _served(cluster: Cluster) -> set[str]:
    """What the agents in service say of themselves; asked at the same time, for the fewest
    connections of one after the other may be on the same agent again and again.
    """
    with ThreadPoolExecutor(10) as clients:
        answers = clients.map(request, ["GET"] * 40, [f"{cluster.url}/"] * 40)
        return {str(body).strip() for _, body, _ in answers}


def _tags(cluster: Cluster) -> int:
    """How many tags of whoami the registry has."""
    address = _network(cluster)["IPAddress"]
    url = f"https://{address}:5001/v2/apps/whoami/tags/list"
    answer = cluster.on("control-1", f"curl -s --cacert /etc/clusterops/ca.crt {url}")
    return len(json.loads(answer).get("tags") or [])


def test_releases_of_a_repository_come_and_go_under_load(
    cluster: Cluster, repository: Repository, tmp_path: Path
) -> None:
    cluster.run("pause")
    assert cluster.in_service() == ["agent-1"]
    first = repository.push()
    fibonacci, tags_before = _application(cluster), _tags(cluster)
    with SteadyClient(cluster.url, what=health) as steady:
        cluster.run("deploy", f"{repository.url}#main")
        assert _application(cluster)["name"] == "whoami"
        assert _served(cluster) <= {"agent-1", "agent-2"}
        deployed = json.loads((cluster.folder / ".playground/deployed.json").read_text())
        assert (deployed["commit"], deployed["previous"]) == (first, fibonacci["release"])
        assert f"{repository.url}#main" in (cluster.folder / "cluster.yml").read_text()
        # Another agent served while the only one changed, and is not needed any more.
        wait_for("one agent again", lambda: cluster.in_service() == ["agent-1"], 90)
        assert _served(cluster) == {"agent-1"}
        cluster.run("scale", "2")

        # A release that never becomes ready is taken back, and the cluster keeps serving.
        repository.push(("whoami.py", 'elif path == "/ready":', 'elif path == "/never":'))
        began = time.monotonic()
        bad = cluster.run("deploy", check=False)
        print(f"a bad release was taken back in {time.monotonic() - began:.0f} s")
        assert bad.returncode != 0
        assert "did not answer 200" in bad.stderr and "stays in force" in bad.stderr
        assert _application(cluster)["release"] == deployed["release"]
        assert len(cluster.in_service()) == 2
        assert _served(cluster) == set(cluster.in_service())

        # What cannot be built, has no values or cannot migrate reaches no agent.
        for changes, reason in BROKEN:
            repository.push(*changes)
            broken = cluster.run("deploy", check=False)
            assert broken.returncode != 0 and reason in broken.stderr, broken.stderr[-1000:]
            assert _application(cluster)["release"] == deployed["release"]

        # A reference that moved is a new release; this time from a private repository.
        name = 'f"{self.server.node}\\n"'
        second = repository.push(("whoami.py", name, name.replace('f"', 'f"v2 ')))
        private = _over_ssh(cluster, repository, tmp_path)
        cluster.run("deploy", private)
        assert all(line.startswith("v2 ") for line in _served(cluster))
        now = json.loads((cluster.folder / ".playground/deployed.json").read_text())
        assert (now["commit"], now["previous"]) == (second, deployed["release"])
        assert "nothing changed" in cluster.run("deploy").stdout
        # Four were pushed. That of the bad release is gone; that of the one that could not migrate
        # is the first one's, under another tag.
        assert _tags(cluster) == tags_before + 3

        with unlocked(cluster) as page:
            roll_back(page, "whoami")
            assert _served(cluster) == set(cluster.in_service())
            deploy(page, "apps/fibonacci")  # the very release that was in force at first
        assert _application(cluster)["release"] == fibonacci["release"]
        assert "application_path: apps/fibonacci" in (cluster.folder / "cluster.yml").read_text()
    print(f"{steady.requests} requests, {sum(steady.failures.values())} failed")
    assert steady.failures == {}, steady.failures
    assert steady.requests > 1000
    unknown = cluster.run("rollback", "0123456789ab-012345", check=False)
    assert unknown.returncode != 0 and "is not kept" in unknown.stderr
    cluster.run("resume")
    cluster.run("scale", "1")
    assert request("POST", f"{cluster.url}/api/v1/fibonacci/calculate/7")[0] in (200, 409)
    secrets = [path.read_text() for path in (cluster.folder / ".playground/secrets").iterdir()]
    logs = "".join(p.read_text() for p in (cluster.folder / ".playground/logs").iterdir())
    assert [secret for secret in secrets if secret.strip() in logs] == []


def test_a_repository_that_is_not_there(cluster: Cluster, repository: Repository) -> None:
    missing = cluster.run("deploy", f"{repository.url}.not", check=False)
    assert missing.returncode != 0 and "Fetch the reference" in missing.stderr
    odd = cluster.run("deploy", "https://me:secret@example.org/x.git", check=False)
    assert odd.returncode == 2 and "has a password in it" in odd.stderr
    assert "secret" not in odd.stderr + odd.stdout
    assert _application(cluster)["name"] == "fibonacci"
