# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian 13 machine in a container, and Ansible for it: for tests and benchmarks of the role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
IMAGE_FOLDER = Path(__file__).parent / "image"
IMAGE = "clusterops-test/load-balancer"
LABEL = "clusterops.test=load-balancer"
"""Of every container made here, so that one that was left behind is found."""

# A container that is a machine, also where the host lacks full privileges.
RUN_OPTIONS = [
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined", "--cgroupns=private"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"),
]
CGROUP_V1_INIT = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]


def run(*command: str, stdin: str | None = None, check: bool = True, **options: Any) -> str:
    """Run a command and return its output; AssertionError with both outputs when it fails."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=400, check=False, **options
    )
    if check and done.returncode:
        raise AssertionError(
            f"{command[:6]} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def build(base_image: str) -> str:
    """The id of the machine's image, with the packages of the role's defaults in it."""
    defaults = yaml.safe_load((ROOT / "roles/load_balancer/defaults/main.yml").read_text())
    packages = " ".join(defaults["load_balancer_packages"])
    return run(
        *("docker", "build", "-q", "--network", "host", "-t", IMAGE),
        *("--build-arg", f"BASE={base_image}", "--build-arg", f"PACKAGES={packages}"),
        str(IMAGE_FOLDER),
    ).strip()


@contextmanager
def started(image: str) -> Iterator[str]:
    """The name of a running machine, which is removed at the end in any case."""
    name = f"clusterops-test-load-balancer-{uuid.uuid4().hex[:8]}"
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    arguments = [] if unified else CGROUP_V1_INIT
    try:
        options = ("--name", name, "--label", LABEL, *RUN_OPTIONS)
        run("docker", "run", "-d", *options, image, "/sbin/init", *arguments)
        ready = "for i in $(seq 100); do systemctl is-system-running --wait 2>/dev/null && exit 0;"
        run("docker", "exec", name, "sh", "-c", ready + " sleep 0.1; done; systemctl --failed")
        yield name
    finally:
        run("docker", "rm", "-f", "-v", name, check=False)


class Playbooks:
    """Runs plays against the machine through Ansible's docker connection."""

    def __init__(self, folder: Path, machine: str) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.yml"
        host = {
            "ansible_host": machine,
            "ansible_connection": "community.docker.docker",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": {"control-1": host}}}))
        (folder / "ansible.cfg").touch()
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PIPELINING": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def play(self, *options: str, **content: Any) -> dict[str, Any]:
        """Run one play and return its statistics and, by task name, its results."""
        play = {"hosts": "all", "gather_facts": False, **content}
        playbook = self.folder / "playbook.yml"
        playbook.write_text(yaml.safe_dump([play]))
        program = str(Path(sys.executable).parent / "ansible-playbook")
        command = (program, "-i", str(self.inventory), *options, str(playbook))
        output = run(*command, check=False, env=self.environment)
        assert "{" in output, f"{output}\n{run(*command, env=self.environment)}"
        value = json.loads(output[output.index("{") :])
        return {
            "stats": value["stats"]["control-1"],
            "tasks": {
                task["task"]["name"]: task["hosts"]["control-1"]
                for played in value["plays"]
                for task in played["tasks"]
                if "control-1" in task["hosts"]
            },
        }

    def role(self, *options: str, **variables: Any) -> dict[str, Any]:
        """Apply the role load_balancer."""
        role = {"role": "clusterops.playground.load_balancer", **variables}
        return self.play(*options, roles=[role])

    def agents(self, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
        """Run the module load_balancer_agent several times; returns the results."""
        ready = []
        for i, params in enumerate(tasks):
            module = {k: v for k, v in params.items() if k != "check_mode"}
            ready.append(
                {
                    "name": f"Call {i}",
                    "clusterops.playground.load_balancer_agent": module,
                    "check_mode": params.get("check_mode", False),
                    "ignore_errors": True,
                }
            )
        results = self.play(tasks=ready)["tasks"]
        return [results[task["name"]] for task in ready]
