# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release gives to people works without the checkout: the collection and the wheel."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".venv/bin"
TOP = {
    "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "changelogs",
    "dashboards", "docs", "meta", "playbooks", "plugins", "roles", "site.yml", "tests",
}  # fmt: skip
PLAY = """\
- name: Use what was installed
  hosts: localhost
  gather_facts: false
  tasks:
    - name: A module, with its shared code
      clusterops.playground.server:
        name: agent-1
        state: started
        api_url: "{{ url }}"
        api_token_file: "{{ token_file }}"
      register: machine

    - name: A lookup
      ansible.builtin.assert:
        that:
          - machine is not changed
          - machine.server.state == "running"
          - lookup("clusterops.playground.content_digest", token_file) is match("[0-9a-f]{16}")

    - name: A role, which looks at what it is given first
      ansible.builtin.include_role:
        name: clusterops.playground.registry
      vars:
        registry_port: nonsense
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    command = [str(TOOLS / "ansible-galaxy"), "collection", "build", "--output-path", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    [made] = folder.glob("clusterops-playground-*.tar.gz")
    return made


@pytest.fixture(scope="module")
def empty(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed collection below it, and no checkout anywhere near."""
    folder = tmp_path_factory.mktemp("elsewhere")
    command = ["collection", "install", "--offline", "-p", "collections", str(artifact)]
    done = _ansible(folder, "ansible-galaxy", *command)
    assert done.returncode == 0, done.stderr
    return folder


def _ansible(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / program), *arguments],
        cwd=folder,
        env={
            "PATH": f"{TOOLS}:/usr/bin:/bin",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
            "ANSIBLE_HOME": str(folder / ".ansible"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_artifact_holds_what_it_is_meant_to_and_nothing_else(artifact: Path) -> None:
    with tarfile.open(artifact) as tar:
        names = tar.getnames()
        links = [member.name for member in tar.getmembers() if member.issym() or member.islnk()]
    assert {name.partition("/")[0] for name in names} == TOP
    assert [name for name in names if name.startswith("tests/")] == ["tests/config.yml"]
    assert [name for name in names if name.endswith((".pyc", "__pycache__"))] == []
    assert links == []
    manifest = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))
    assert f"-{manifest['version']}.tar.gz" in artifact.name


def test_every_module_and_plugin_is_documented_in_an_empty_folder(empty: Path) -> None:
    for kind, at_least in (("module", 8), ("inventory", 2), ("lookup", 1), ("role", 0)):
        listed = _ansible(empty, "ansible-doc", "-t", kind, "-j", "-l", "clusterops.playground")
        names = list(json.loads(listed.stdout))
        assert len(names) >= at_least, listed.stderr
        if names and kind != "role":
            told = _ansible(empty, "ansible-doc", "-t", kind, "-j", *names)
            assert told.returncode == 0, told.stderr
            assert all(one["doc"]["short_description"] for one in json.loads(told.stdout).values())


class _ServerManager(http.server.BaseHTTPRequestHandler):
    """Has one machine, and it runs."""

    def do_GET(self) -> None:
        body = json.dumps({"name": "agent-1", "state": "running"}).encode()
        right = self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server_manager() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ServerManager) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_play_in_an_empty_folder_uses_the_collection(empty: Path, server_manager: str) -> None:
    (empty / "play.yml").write_text(PLAY)
    (empty / "token").write_text("secret")
    given = json.dumps({"url": server_manager, "token_file": str(empty / "token")})
    interpreter = f"ansible_python_interpreter={sys.executable}"
    done = _ansible(empty, "ansible-playbook", "play.yml", "-e", given, "-e", interpreter)
    assert "TASK [A lookup]" in done.stdout, done.stdout + done.stderr
    assert "ok=" in done.stdout
    # Everything before the role went well; the role refused what is no port, by its name.
    said = done.stdout + done.stderr
    assert "TASK [A role" in done.stdout, said
    assert done.returncode == 2, said
    assert "registry_port" in said and "nonsense" in said


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [made] = folder.glob("clusterops-*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of plain Python is installed by unpacking it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)  # noqa: S202 - made a moment ago
    return folder


def _python(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_wheel_is_whole(wheel: Path, unpacked: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (ROOT / "src/clusterops").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert str(path.relative_to(ROOT / "src")) in names
    # In the checkout these are links to the collection; a wheel has to have their text.
    shared = unpacked / "clusterops/virtualbox/_vboxmanage.py"
    assert shared.read_text() == (ROOT / "plugins/module_utils/_vboxmanage.py").read_text()


def test_the_metrics_api_of_the_wheel_needs_the_standard_library_only(
    unpacked: Path, tmp_path: Path
) -> None:
    code = "import clusterops.metrics_api.server as s; print(s.__file__)"
    done = _python(unpacked, tmp_path, "-S", "-c", code)
    assert done.stdout.startswith(str(unpacked)), done.stderr


def test_the_wheels_command_works_where_there_is_no_checkout(
    unpacked: Path, tmp_path: Path
) -> None:
    command = ("-m", "clusterops.cli")
    version = _python(unpacked, tmp_path, *command, "--version")
    [metadata] = unpacked.glob("clusterops-*.dist-info")
    assert metadata.name == f"clusterops-{version.stdout.strip()}.dist-info"
    (tmp_path / "policy.yml").write_text("scaling_policy: target_tracking\nagents_max: 6\n")
    simulate = ("simulate", "--trace", "step", "--policy", "policy.yml")
    done = _python(unpacked, tmp_path, *command, *simulate)
    assert done.returncode == 0, done.stderr
    assert "VM hours" in done.stdout
