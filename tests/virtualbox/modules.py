# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's modules as Ansible does, a process each, without Ansible's start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.clusterops.playground.plugins.modules"

FORKS = """
import concurrent.futures, importlib, json, os, sys
from ansible.module_utils import basic
module = importlib.import_module(sys.argv[1])

def call(arguments):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        basic._ANSIBLE_PROFILE = "legacy"
        try:
            module.main()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read().strip()
    os.waitpid(child, 0)
    return text

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print("\\n".join(pool.map(call, json.load(sys.stdin))))
"""


class Modules:
    """Modules with the options that all their calls share."""

    def __init__(self, **common: Any) -> None:
        self._common = common

    def __call__(self, module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of a module, which may have failed."""
        arguments = {**self._common, **options, "_ansible_check_mode": check, "_ansible_diff": True}
        done = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE}.{module}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def many(self, module: str, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of calls for different machines, a few at a time.

        Each call is a process, forked from one that has the module loaded already.
        """
        arguments = [{**self._common, **options} for options in calls]
        done = subprocess.run(
            [sys.executable, "-c", FORKS, f"{PACKAGE}.{module}"],
            input=json.dumps(arguments),
            env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def ok(self, module: str, **options: Any) -> dict[str, Any]:
        """The result of a module that has to succeed."""
        result = self(module, **options)
        assert not result.get("failed"), result["msg"]
        return result

    def vm(self, name: str, **options: Any) -> dict[str, Any]:
        return self.ok("virtualbox_vm", name=name, **options)

    def snapshot(self, vm: str, name: str, **options: Any) -> dict[str, Any]:
        return self.ok("virtualbox_snapshot", vm=vm, name=name, **options)

    def vms(self, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ok("virtualbox_vm_info", **options)["vms"]
        return found
