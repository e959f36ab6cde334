# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the metrics API: `python3 -m clusterops.metrics_api --bind 0.0.0.0 --port 5100`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from clusterops.errors import ClusterOpsError
from clusterops.metrics_api.app import App
from clusterops.metrics_api.sampler import Sampler
from clusterops.metrics_api.server import Server


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    options = _parse(arguments)
    try:
        names = ("localhost", socket.gethostname())
        sampler = Sampler(Path(options.root))
        server = Server(options.bind, options.port, App(sampler.current, names))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stopper(server))
        try:
            sampler.prime()
        except (OSError, ValueError, LookupError) as error:
            raise ClusterOpsError(
                f"cannot measure this machine ({sampler.kind}): {error}",
                remedy="/proc and /sys/fs/cgroup must be mounted and readable",
            ) from None
    except ClusterOpsError as error:
        print(f"metrics-api: {error}", file=sys.stderr)
        return int(error.exit_code)
    sampler.start()
    print(
        f"metrics-api: listening on {options.bind} port {server.port}, source: {sampler.kind}",
        file=sys.stderr,
        flush=True,
    )
    _notify("READY=1")
    server.on_tick = lambda: _notify("WATCHDOG=1")
    server.run()
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m clusterops.metrics_api",
        description="Serve this node's CPU, memory, disk and load at /metrics, as JSON or as "
        "Prometheus text, and its health at /health.",
    )
    parser.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="IP address (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=5100, help="TCP port, 0 for any (default: %(default)s)"
    )
    parser.add_argument(
        "--root", default="/", metavar="DIR", help="where /proc and /sys are (default: /)"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port: use 0 to 65535")
    return int(text)


def _stopper(server: Server) -> Callable[[int, FrameType | None], None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        server.stop()

    return handle


def _notify(state: str) -> None:
    """Tell systemd, if it started this process and asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.sendto(state.encode(), address)
    except OSError as error:
        print(f"metrics-api: cannot reach systemd: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
