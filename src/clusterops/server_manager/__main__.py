# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager as a process: ``python -m clusterops.server_manager``.

It keeps nothing in memory that matters: what machines exist is asked of the provider, so it can
be killed at any time and started again. Jobs of the host end with it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from clusterops import cluster_ca, tokens
from clusterops.errors import ClusterOpsError, ExitCode
from clusterops.http_api import serving
from clusterops.http_api.audit import Audit, AuditFile
from clusterops.http_api.tls import Certificate
from clusterops.server_manager import job_processes
from clusterops.server_manager.app import create_app
from clusterops.server_manager.driver import Cluster
from clusterops.server_manager.jobs import known_applications
from clusterops.server_manager.listen import LOOPBACK, only_one, open_sockets
from clusterops.server_manager.providers import open_driver
from clusterops.server_manager.service import Service
from clusterops.server_manager.settings import ConfigSource
from clusterops.server_manager.telemetry import Telemetry
from clusterops.ssh_identity import ensure_identity, seed_files
from clusterops.state import State, cluster_file, project_root

SHUTDOWN_S = 5

log = logging.getLogger("clusterops.server_manager")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterops.server_manager", description="Serve the Server Manager API."
    )
    parser.add_argument(
        "--cluster-file",
        type=Path,
        default=cluster_file(),
        help="the cluster.yml to serve (default: %(default)s)",
    )
    path = parser.parse_args(arguments).cluster_file.absolute()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr,
        format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s",
    )  # fmt: skip
    try:
        source = ConfigSource(path)
        state = State.beside(path)
        state.create()
        with only_one(state):
            _serve(source, state)
    except ClusterOpsError as error:
        print(f"server-manager: {error}", file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(f"server-manager: {error.strerror}: {error.filename or path}", file=sys.stderr)
        return int(ExitCode.FAILED)
    return int(ExitCode.DONE)


def _serve(source: ConfigSource, state: State) -> None:
    config = source.current()
    ensure_identity(state)
    tokens.ensure(state)
    driver = open_driver(state.provider() or config.cluster_provider, Cluster.of(config))
    driver.prepare()
    port = config.port_server_manager
    host_address = driver.host_address()
    certificate = Certificate(lambda: _certificate(state, host_address))
    sockets = open_sockets(port, host_address)
    telemetry = Telemetry()
    service = Service(
        config=source.current,
        driver=driver,
        make_seed=lambda name, addresses: dict(seed_files(state, name, addresses)),
        url_for=lambda host: f"https://{host}:{port}",
        observe=telemetry.driver_call,
    )
    for kind in job_processes.end_leftovers(state):
        log.warning("ended a %s that a killed Server Manager had left", kind)
    jobs = job_processes.Jobs(
        state, lambda: known_applications(project_root(), source.current().application_path)
    )
    app = create_app(
        service,
        known=tokens.HostTokens(state),
        audit=Audit("server-manager", AuditFile(state.audit_file)),
        jobs=jobs,
        names=frozenset({host_address}),
        telemetry=telemetry,
        expiries=cluster_ca.Expiries(state),
        config_problem=lambda: source.problem,
    )
    state.write_endpoint(f"http://{LOOPBACK}:{port}")
    places = ", ".join("{}:{}".format(*opened.getsockname()) for opened in sockets)
    log.info(
        "serving cluster=%s provider=%s on %s", config.cluster_name, driver.provider, places
    )  # fmt: skip
    server = serving.Server(
        serving.config(
            app, log_config=None, lifespan="on", timeout_graceful_shutdown=SHUTDOWN_S
        ),
        certificate,
        # Plain HTTP is for this machine alone. Where machines come through its loopback, too,
        # they begin with TLS.
        tls_only=[host_address] if host_address != LOOPBACK else [],
    )  # fmt: skip
    # uvicorn stops gracefully, then raises the signal again: that must not end this process
    # before its pid file is gone.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        server.run(sockets=sockets)
    finally:
        service.close()
    log.info("stopped")


def _certificate(state: State, host_address: str) -> tuple[Path, Path, Path]:
    issued = cluster_ca.issue(state, "server-manager", ["localhost", LOOPBACK, host_address])
    return issued.certificate, issued.key, issued.authority


if __name__ == "__main__":
    sys.exit(main())
