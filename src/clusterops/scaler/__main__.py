# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m clusterops.scaler --config PATH``: the scaler daemon."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from clusterops.errors import ClusterOpsError
from clusterops.scaler import systemd
from clusterops.scaler.actuator import Actuator
from clusterops.scaler.api import make_app
from clusterops.scaler.daemon import Controller
from clusterops.scaler.feed import Feed
from clusterops.scaler.observe import Observer
from clusterops.scaler.policies import policy_from
from clusterops.scaler.settings import ScalerSettings, load_settings
from clusterops.scaler.status import describe
from clusterops.scaler.store import Store
from clusterops.scaler.watch import Watch

_LOG = logging.getLogger("clusterops.scaler")


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clusterops.scaler")
    parser.add_argument("--config", type=Path, default=Path("/etc/clusterops/scaler.json"))
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    arguments = parser.parse_args(argv)
    # The journal has its own time stamps.
    stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format=f"{stamp}%(levelname)s %(message)s"
    )
    try:
        settings = load_settings(arguments.config)
        policy_from(settings.model_dump())
        if arguments.check:
            return 0
        lock = _only_one(settings)
        asyncio.run(serve(settings))
        lock.close()
    except ClusterOpsError as error:
        print(f"scaler: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def _only_one(settings: ScalerSettings) -> TextIO:
    """Two scalers on one cluster would undo each other's work.

    Raises:
        ClusterOpsError: another one runs.
    """
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        lock = (settings.state_dir / "scaler.lock").open("w")
    except OSError as error:
        raise ClusterOpsError(
            f"{settings.state_dir}: cannot be written: {error.strerror}",
            remedy="let the scaler's user own it",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ClusterOpsError(
            f"another scaler runs on {settings.state_dir}", remedy="stop that one first"
        ) from error
    return lock


async def serve(settings: ScalerSettings) -> None:
    """The API and the control loop in one event loop.

    Raises:
        ClusterOpsError: the database or the port cannot be used.
    """
    from clusterops.http_api.serving import Server as HttpServer
    from clusterops.http_api.serving import config

    class Server(HttpServer):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are this module's business

    listener = _listen(settings)
    actuator = Actuator(settings)
    leftovers = actuator.clean_up()
    if leftovers:
        _LOG.warning("ended %d processes that a killed scaler had left", leftovers)
    store = Store(settings.database)
    observer = Observer(settings)
    policy = policy_from(settings.model_dump())
    controller = Controller(settings, store, observer, actuator, policy)
    watch = Watch(settings, store)
    feed = Feed(controller, describe, watch)
    server = Server(
        config(
            make_app(controller, feed),
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    serving = asyncio.create_task(server.serve([listener]))
    serving.add_done_callback(lambda _task: stop.set())
    watching = [asyncio.create_task(_watchdog(controller)), asyncio.create_task(watch.run())]
    systemd.notify("READY=1")
    _LOG.info(
        "listening on %s:%d; %d to %d agents, policy %s",
        *listener.getsockname(),
        settings.agents_min,
        settings.agents_max,
        settings.scaling_policy,
    )
    try:
        await controller.run(stop)
    finally:
        systemd.notify("STOPPING=1")
        for task in watching:
            task.cancel()
        feed.close()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=5)
        await observer.close()
        store.close()


def _listen(settings: ScalerSettings) -> socket.socket:
    """The API's socket.

    Raises:
        ClusterOpsError: the address cannot be used.
    """
    where = f"{settings.listen_address}:{settings.listen_port}"
    try:
        return socket.create_server((settings.listen_address, settings.listen_port), backlog=128)
    except OSError as error:
        raise ClusterOpsError(
            f"listen_port: {where} cannot be used: {error.strerror}",
            remedy="end what uses the port, or choose another",
        ) from error


async def _watchdog(controller: Controller) -> None:
    """Signs of life for systemd, as long as the control loop shows some itself."""
    interval = systemd.watchdog_interval_s()
    if interval is None:
        return
    limit = 60.0 + 3 * controller.settings.scaling_interval_s
    while True:
        if time.monotonic() - controller.alive_at < limit:
            systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


if __name__ == "__main__":
    sys.exit(main())
