#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the inventory of real VirtualBox machines takes: prints a table in Markdown.

    .venv/bin/python benchmarks/virtualbox_inventory.py [--machines 50 200] [--rounds 5]

It makes its own VirtualBox with real machines (needs the container engine; about ten minutes) and
removes it again. Everything runs as on the computer that VirtualBox runs on: in its network, and
with its settings files. All contenders take turns within each round, so that whatever else the
computer does meets them all. "Own time" is the total minus that of a static inventory with as many
hosts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from clusterops.engine import connect  # noqa: E402
from tests.virtualbox.host import VirtualBoxHost  # noqa: E402
from tests.virtualbox.image import ensure_image  # noqa: E402
from tests.virtualbox.zoo import WEB_PORT, create, start_web_service  # noqa: E402

RUNNING = 10
WITHOUT_FORWARD = 10  # one of so many
COMMUNITY = "community.general.virtualbox"
OURS = "clusterops.playground.virtualbox"


@dataclass(frozen=True)
class Contender:
    """A source file, and the plugin that reads it."""

    title: str
    plugin: str
    source: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machines", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"load before: {_load()}", file=sys.stderr)
    engine = connect(300)
    image = ensure_image(engine)
    with tempfile.TemporaryDirectory() as folder:
        host = VirtualBoxHost(engine, image, Path(folder) / "host")
        try:
            start_web_service(host)
            made = 0
            for count in sorted(arguments.machines):
                for number in range(made, count):
                    _make(host, number)
                made = max(made, count)
                _report(count, *_measure(host, count, arguments.rounds, Path(folder)))
        finally:
            host.close()
    return 0


def _make(host: VirtualBoxHost, number: int) -> None:
    """A machine as people have them: in a group, most with an ssh forward, the first running."""
    options = [f"--groups=/lab/group-{number % 7}", "--ostype=Debian_64", "--nic1=nat"]
    has_forward = number % WITHOUT_FORWARD
    if has_forward:
        options.append(f"--natpf1=ssh,tcp,127.0.0.1,{20000 + number},,22")
    uuid = create(host, f"machine-{number}", *options)
    if number < RUNNING * 3 and number % 3 == 0:
        host.manage("startvm", uuid, "--type", "headless")
        address = ("/VirtualBox/GuestInfo/Net/0/V4/IP", f"192.168.56.{number + 10}")
        host.manage("guestproperty", "set", uuid, *address)


def _contenders(host: VirtualBoxHost, count: int, folder: Path) -> Iterator[Contender]:
    static = folder / f"static-{count}.yml"
    hosts = {f"machine-{number}": None for number in range(count)}
    static.write_text(json.dumps({"all": {"hosts": hosts}}))
    yield Contender("static inventory", "ansible.builtin.yaml", static)
    program = {"executable": str(host.program)}
    service = {**program, "web_service_url": f"http://127.0.0.1:{WEB_PORT}"}
    every = {"details": ["forwards", "nics", "snapshots"]}
    asked = {"settings_files": False}
    for title, plugin, options in (
        (COMMUNITY, COMMUNITY, {}),
        ("VBoxManage", OURS, program),
        ("VBoxManage, all details", OURS, {**program, **every}),
        ("VBoxManage, no settings files", OURS, {**program, **asked}),
        ("web service", OURS, service),
        ("web service, all details", OURS, {**service, **every}),
        ("web service, no settings files", OURS, {**service, **asked}),
    ):
        source = folder / f"{title.replace(' ', '-')}.virtualbox.yml"
        source.write_text(json.dumps({"plugin": plugin, **options}))
        yield Contender(title, plugin, source)


def _measure(
    host: VirtualBoxHost, count: int, rounds: int, folder: Path
) -> tuple[dict[str, list[float]], list[str]]:
    contenders = list(_contenders(host, count, folder))
    seconds: dict[str, list[float]] = {contender.title: [] for contender in contenders}
    loads = [_load()]
    for turn in range(rounds + 1):
        for contender in contenders:
            began = time.monotonic()
            hosts = _hosts(host, contender, folder)
            if turn:  # the first is for warming up
                seconds[contender.title].append(time.monotonic() - began)
            if hosts != count:
                raise SystemExit(f"{contender.title} has {hosts} hosts instead of {count}")
    loads.append(_load())
    return seconds, loads


def _hosts(host: VirtualBoxHost, contender: Contender, folder: Path) -> int:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{host.path()}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(folder / "none.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_INVENTORY_ENABLED": contender.plugin,
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "VBOX_USER_HOME": str(host.settings),
    }
    network = ["nsenter", "--net", "--target", str(host.pid)]
    command = [*network, "ansible-inventory", "-i", str(contender.source), "--list"]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
    return len(json.loads(done.stdout)["_meta"]["hostvars"]) or _listed(done.stdout)


def _listed(output: str) -> int:
    """Hosts without variables are only in their group."""
    groups = json.loads(output)
    return len({host for group in groups.values() for host in group.get("hosts", [])})


def _report(count: int, seconds: dict[str, list[float]], loads: list[str]) -> None:
    medians = {title: statistics.median(times) for title, times in seconds.items()}
    rounds = len(next(iter(seconds.values())))
    static = medians.pop("static inventory")
    community = medians[COMMUNITY] - static
    print(f"\n{count} machines, {rounds} rounds, load {loads[0]} before and {loads[1]} after; ")
    print(f"static inventory {static:.2f} s\n")
    print("| | total | own time | times less than community.general |\n| --- | --- | --- | --- |")
    for title, median in medians.items():
        own = median - static
        ratio = f"{community / own:.1f}" if title != COMMUNITY else ""
        print(f"| {title} | {median:.2f} s | {own:.2f} s | {ratio} |")
    sys.stdout.flush()


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
