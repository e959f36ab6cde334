#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load balancer against nginx and HAProxy, in one container: prints tables in Markdown.

    .venv/bin/python benchmarks/load_balancer.py [--rounds 5] [--seconds 8] [--only PART] [--json F]

Parts: ``throughput`` (small GETs), ``slow`` (one of three agents is ten times slower), ``changes``
(the pool changes 200 times under POSTs). In the first two all take turns within each round and the
figures are medians; a ratio is taken within a round. About ten minutes. Everything is on loopback
in a container of its own, with the label clusterops.test, which is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.balancers import configurations  # noqa: E402
from benchmarks.balancers.nginx_conf import Static, static  # noqa: E402
from benchmarks.balancers.processes import cpu_seconds  # noqa: E402
from clusterops.engine import connect  # noqa: E402
from tests.integration.base import ensure_test_base  # noqa: E402
from tests.integration.load_balancer.machine import Playbooks, build, run, started  # noqa: E402

HERE = Path(__file__).parent / "balancers"
UNIT = ROOT / "roles/load_balancer/templates/nginx.service.j2"
IMAGE = "clusterops-test/load-balancer-rivals"
INSIDE = "/opt/bench"
PARTS = ("throughput", "slow", "changes")
OURS = "this load balancer"
ALGORITHMS = {f"{OURS}, least connections": "least_connections", f"{OURS}, EWMA": "peak_ewma"}
ADMIN_PORT = 8081
CONTROL_PORT = 7300
FAST = [f"127.0.0.1:{port}" for port in (7101, 7102, 7103)]
SLOW = {"127.0.0.1:7201": 0.02, "127.0.0.1:7202": 0.02, "127.0.0.1:7203": 0.2}
SLOW_ONE = "127.0.0.1:7203"
SLOTS = 16
CHANGING = ["7301", "7302", "7303", "7304"]
CONNECTIONS = {"throughput": 64, "slow": 32, "changes": 32}
WARM_S = 2
MEAN_FROM = 10
"""Rounds from which on a mean says something."""
CHANGES = 200

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=int, default=8, help="of one turn; short ones average a restless machine"
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part (repeatable)")
    parser.add_argument("--json", type=Path, help="file for every figure of every round")
    options = parser.parse_args()
    if not 1 <= options.rounds <= 200 or not 1 <= options.seconds <= 60:
        parser.error("--rounds is 1 to 200, --seconds 1 to 60")
    signal.signal(signal.SIGTERM, _end)
    report: dict[str, Any] = {"processors": os.cpu_count(), "load": [os.getloadavg()[0]]}
    with tempfile.TemporaryDirectory() as folder, _machine() as name:
        bench = Bench(name, Playbooks(Path(folder), name), options.rounds, options.seconds)
        report["versions"] = bench.versions()
        for part in options.only or PARTS:
            report[part] = getattr(bench, part)()
            report["load"].append(os.getloadavg()[0])
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(_text(report))
    return 0


def _end(*_: object) -> None:
    """Ended from outside, take the container away as well, even when told so twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


@contextmanager
def _machine() -> Iterator[str]:
    """The tests' machine with the rivals in it and the role not applied yet."""
    _say("building the machine")
    base = build(ensure_test_base(connect(300)))
    image = run(
        *("docker", "build", "-q", "--network", "host", "-t", IMAGE),
        *("--build-arg", f"BASE={base}", str(HERE)),
    ).strip()
    with started(image) as name:
        run("docker", "cp", f"{HERE / 'inside'}/.", f"{name}:{INSIDE}")
        client = ROOT / "plugins/module_utils/_load_balancer.py"
        run("docker", "cp", str(client), f"{name}:{INSIDE}/_load_balancer.py")
        yield name


def system_call_filters() -> list[str]:
    """The filters of system calls that the role's service has. They cost each call something, so
    the rivals get them as well; but for the last one, which HAProxy does not start with.
    """
    filters = ("SystemCall", "Restrict", "LockPersonality", "NoNewPrivileges")
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [f"'{line}'" for line in lines if line.startswith(filters) and "~" not in line]


class Bench:
    """The parts of the benchmark on one machine."""

    def __init__(self, machine: str, playbooks: Playbooks, rounds: int, seconds: int) -> None:
        self.machine = machine
        self.playbooks = playbooks
        self.rounds = rounds
        self.seconds = seconds
        self.role_has_algorithms = "load_balancer_algorithm" in yaml.safe_load(
            (ROOT / "roles/load_balancer/defaults/main.yml").read_text()
        )
        self.apply_role()
        self.configuration = self.sh("cat /etc/nginx/nginx.conf")

    def sh(self, script: str, check: bool = True) -> str:
        return run("docker", "exec", self.machine, "sh", "-c", script, check=check)

    def write(self, path: str, text: str) -> None:
        script = f'mkdir -p "$(dirname {path})"; cat > {path}'
        run("docker", "exec", "-i", self.machine, "sh", "-c", script, stdin=text)

    def versions(self) -> dict[str, str]:
        packages = "nginx libnginx-mod-http-lua haproxy wrk"
        lines = self.sh(f"dpkg-query -W -f '${{Package}} ${{Version}}\\n' {packages}")
        return dict(line.split(" ", 1) for line in lines.splitlines())

    def apply_role(self, **variables: Any) -> None:
        done = self.playbooks.role(**variables)
        if done["stats"]["failures"]:
            raise SystemExit(f"the role failed: {done['tasks']}")

    # The processes ------------------------------------------------------------------------------

    @contextmanager
    def process(self, name: str, command: str) -> Iterator[str]:
        """A unit of this name while the block runs."""
        options = " ".join(
            f"-p {option}" for option in ("LimitNOFILE=65536", *system_call_filters())
        )
        self.sh(f"systemd-run --quiet --collect --unit={name} {options} -- {command}")
        try:
            time.sleep(0.5)
            self.sh(f"systemctl is-active {name} || {{ journalctl -u {name} >&2; exit 1; }}")
            yield name
        finally:
            self.sh(f"systemctl stop {name}", check=False)

    @contextmanager
    def nginx(self, name: str, configuration: str) -> Iterator[str]:
        """An nginx of its own."""
        path = f"{INSIDE}/{name}/nginx.conf"
        self.write(path, configuration)
        self.sh(f"nginx -t -q -c {path}")
        with self.process(name, f"nginx -c {path} -g 'daemon off;'") as unit:
            yield unit

    @contextmanager
    def haproxy(self, name: str, configuration: str) -> Iterator[str]:
        path = f"{INSIDE}/{name}/haproxy.cfg"
        self.write(path, configuration)
        with self.process(name, f"haproxy -db -f {path}") as unit:
            yield unit

    def tuned(self, name: str, port: int, servers: list[str], method: str = "least_conn") -> str:
        """The role's own configuration with a fixed upstream block."""
        keepalive = ["keepalive 128", "keepalive_timeout 60s", "keepalive_requests 1000000"]
        folder = f"{INSIDE}/{name}"
        return static(self.configuration, Static(servers, port, folder, method, keepalive))

    def fill(self, servers: list[str]) -> None:
        """Let the pool be these agents."""
        listed = json.loads(self.sh(_admin("GET", "/agents")))["agents"]
        for agent in listed:
            self.sh(_admin("DELETE", f"/agents/{agent['name']}"))
        for number, address in enumerate(servers, 1):
            body = json.dumps({"address": address, "state": "in_service"})
            self.sh(_admin("PUT", f"/agents/agent-{number}", body))

    # The parts ----------------------------------------------------------------------------------

    def throughput(self) -> dict[str, Any]:
        """Small GETs from upstreams that answer from memory."""
        plain = configurations.plain_nginx(f"{INSIDE}/plain", 8202, FAST)
        with (
            self.nginx("upstreams", configurations.fast_upstreams(f"{INSIDE}/upstreams", FAST)),
            self.nginx("plain", plain),
            self.nginx("tuned", self.tuned("tuned", 8203, FAST)),
            self.haproxy("rival", configurations.haproxy(f"{INSIDE}/rival", 8204, FAST)),
        ):
            self.fill(FAST)
            turns = {
                OURS: self.turn("nginx", 80),
                "nginx, tuned": self.turn("tuned", 8203),
                "HAProxy": self.turn("rival", 8204),
                "nginx, plain": self.turn("plain", 8202),
            }
            return self.take_turns("throughput", turns)

    def slow(self) -> dict[str, Any]:
        """One of three agents is ten times slower."""
        servers = list(SLOW)
        delayed = configurations.delayed_upstreams(f"{INSIDE}/delayed", SLOW, SLOTS)
        with (
            self.nginx("delayed", delayed),
            self.nginx("robin", self.tuned("robin", 8202, servers, method="")),
            self.nginx("tuned", self.tuned("tuned", 8203, servers)),
            self.haproxy("rival", configurations.haproxy(f"{INSIDE}/rival", 8204, servers)),
        ):
            turns = {}
            for name, algorithm in ALGORITHMS.items():
                if self.role_has_algorithms:
                    self.apply_role(load_balancer_algorithm=algorithm)
                elif algorithm != "least_connections":
                    _say(f"the role has no load_balancer_algorithm: without {name}")
                    continue
                path = f"{INSIDE}/{algorithm}.conf"
                self.sh(f"cp /etc/nginx/nginx.conf {path}")
                turns[name] = self.turn("nginx", 80, f"cp {path} /etc/nginx/nginx.conf && "
                                        "systemctl reload nginx && sleep 1")  # fmt: skip
            self.fill(servers)
            turns["nginx, round robin"] = self.turn("robin", 8202)
            turns["nginx, least connections"] = self.turn("tuned", 8203)
            turns["HAProxy, least connections"] = self.turn("rival", 8204)
            report = self.take_turns("slow", turns, self.served)
        self.apply_role()
        return report

    def changes(self) -> dict[str, Any]:
        """200 changes of the pool while clients POST; nothing is tried again."""
        self.fill([])
        control = ("python3", f"{INSIDE}/application.py", str(CONTROL_PORT))
        first = "server 127.0.0.1:7301;\n"
        self.write(f"{INSIDE}/reloaded/servers.conf", first)
        with (
            self.process("application", " ".join(control)),
            self.nginx("reloaded", self.tuned("reloaded", 8203, [])),
            self.haproxy("rival", configurations.haproxy(f"{INSIDE}/rival", 8204, [])),
        ):
            report = {}
            for name, kind, where, port in (
                (OURS, "clusterops", str(ADMIN_PORT), 80),
                ("HAProxy, runtime API", "haproxy", f"{INSIDE}/rival/haproxy.sock", 8204),
                ("nginx, file and reload", "nginx", f"{INSIDE}/reloaded", 8203),
            ):
                self.sh(_get(CONTROL_PORT, "/reset"))
                change = [f"python3 {INSIDE}/changes.py {kind}", f"{CONTROL_PORT} {where}"]
                agents = " ".join(CHANGING)
                self.sh(f"{change[0]} 0 {change[1]} {agents}")
                clients = CONNECTIONS["changes"]
                load = f"python3 {INSIDE}/posts.py {port} {CONTROL_PORT} {clients}"
                output = self.sh(f"{load} {change[0]} {CHANGES} {change[1]} {agents}")
                report[name] = json.loads(output)
                _say(f"changes, {name}: {output.strip()}")
        return report

    # One turn -----------------------------------------------------------------------------------

    def turn(self, unit: str, port: int, before: str = "") -> Callable[[int], Figures]:
        """How one rival is measured: with so many connections, for the seconds of a turn."""

        warm = False

        def measure(connections: int) -> Figures:
            nonlocal warm
            if before:
                self.sh(before)
            wrk = f"wrk -t2 -c{connections} -s {INSIDE}/report.lua http://127.0.0.1:{port}/"
            if before or not warm:
                self.sh(f"{wrk} -d{WARM_S}")
            warm = True
            used = self.cpu(unit)
            figures: Figures = json.loads(
                self.sh(f"{wrk} -d{self.seconds}").strip().splitlines()[-1]
            )
            if not figures["requests"]:
                raise SystemExit(f"{unit} has not answered")
            figures["rate"] = figures["requests"] / figures["seconds"]
            figures["cpu_s"] = 1e4 * (self.cpu(unit) - used) / figures["requests"]
            return figures

        return measure

    def cpu(self, unit: str) -> float:
        """Seconds of processor time that a unit's processes have used, also those that ended."""
        main_pid = self.sh(f"systemctl show -p MainPID --value {unit}").strip()
        ticks = int(self.sh("getconf CLK_TCK"))
        return cpu_seconds(self.sh("cat /proc/[0-9]*/stat 2>/dev/null", False), main_pid, ticks)

    def served(self) -> dict[str, int]:
        counts: dict[str, int] = json.loads(self.sh(_get(7201, "/counts")))
        return counts

    def take_turns(
        self,
        part: str,
        turns: dict[str, Callable[[int], Figures]],
        counts: Callable[[], dict[str, int]] | None = None,
    ) -> dict[str, Any]:
        """The figures of every rival, round by round; each round begins with another one."""
        seen: dict[str, list[Figures]] = {name: [] for name in turns}
        names = list(turns)
        for number in range(self.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                before = counts() if counts else {}
                figures = turns[name](CONNECTIONS[part])
                if counts:
                    after = counts()
                    asked = {key: after[key] - before.get(key, 0) for key in after}
                    figures["slow_share"] = asked.get(SLOW_ONE, 0) / sum(asked.values())
                seen[name].append(figures)
                _say(
                    f"{part}, round {number + 1}/{self.rounds}, {name}: "
                    f"{figures['rate']:.0f}/s, p99 {figures['p99_ms']:.1f} ms, "
                    f"{figures['cpu_s']:.2f} CPU s per 10,000"
                )
        return seen


def _admin(method: str, path: str, body: str = "") -> str:
    """A shell command for the administration interface."""
    return _python(ADMIN_PORT, method, path, body)


def _get(port: int, path: str) -> str:
    return _python(port, "GET", path)


def _python(port: int, method: str, path: str, body: str = "") -> str:
    program = (
        "import http.client as h, sys; "
        f'c = h.HTTPConnection("127.0.0.1", {port}, timeout=10); '
        f"c.request(*sys.argv[1:4]); r = c.getresponse(); t = r.read().decode(); print(t); "
        "sys.exit(r.status >= 400)"
    )
    return f"python3 -c '{program}' {method} {path} '{body}'"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The tables -------------------------------------------------------------------------------------


def _text(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    load = ", ".join(f"{load:.1f}" for load in report["load"])
    lines = [f"{report['processors']} processors, load before and after: {load}. {versions}."]
    if "throughput" in report:
        lines += ["", *_throughput(report["throughput"])]
    if "slow" in report:
        lines += ["", *_slow(report["slow"])]
    if "changes" in report:
        lines += ["", *_changes(report["changes"])]
    return "\n".join(lines)


def _median(rounds: list[Figures], key: str) -> float:
    return statistics.median(figures[key] for figures in rounds)


def _ratio(ours: list[Figures], theirs: list[Figures], key: str) -> str:
    """Ours by theirs: median of the rounds, least and most; of several the geometric mean as well,
    and where it lies with a certainty of 95 % (two standard errors of the logarithms).
    """
    ratios = [a[key] / b[key] if b[key] else 0.0 for a, b in zip(ours, theirs, strict=True)]
    text = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if len(ratios) < MEAN_FROM or not all(ratios):
        return text
    logs = [math.log(ratio) for ratio in ratios]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(mean - 2 * error), math.exp(mean + 2 * error)
    return f"{text}; mean {math.exp(mean):.3f} ({low:.3f} to {high:.3f})"


def _throughput(seen: dict[str, list[Figures]]) -> list[str]:
    lines = [
        "| small GETs | requests/s | p50, ms | p99, ms | CPU s per 10,000 | errors "
        f"| {OURS} by it: requests/s | CPU |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, rounds in seen.items():
        ratios = ("", "")
        if name != OURS:
            ratios = _ratio(seen[OURS], rounds, "rate"), _ratio(seen[OURS], rounds, "cpu_s")
        lines.append(
            f"| {name} | {_median(rounds, 'rate'):.0f} | {_median(rounds, 'p50_ms'):.1f} "
            f"| {_median(rounds, 'p99_ms'):.1f} | {_median(rounds, 'cpu_s'):.2f} "
            f"| {sum(f['errors'] for f in rounds):.0f} | {ratios[0]} | {ratios[1]} |"
        )
    return lines


def _slow(seen: dict[str, list[Figures]]) -> list[str]:
    lines = [
        "| one slow agent | requests/s | p50, ms | p99, ms | share of the slow one | CPU s per "
        "10,000 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, rounds in seen.items():
        lines.append(
            f"| {name} | {_median(rounds, 'rate'):.0f} | {_median(rounds, 'p50_ms'):.1f} "
            f"| {_median(rounds, 'p99_ms'):.1f} | {100 * _median(rounds, 'slow_share'):.1f} % "
            f"| {_median(rounds, 'cpu_s'):.2f} |"
        )
    return lines


def _changes(seen: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "| the pool changes | changes | POSTs | failed | of them lost | executed, no answer "
        "| executed twice | connections closed | p99, ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in seen.items():
        lines.append(
            f"| {name} | {one['changes']} in {one['seconds']:.0f} s | {one['posts']} "
            f"| {one['failed']} | {one['lost']} | {one['without_answer']} | {one['twice']} "
            f"| {one['connections_closed']} | {one['p99_ms']:.1f} |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
