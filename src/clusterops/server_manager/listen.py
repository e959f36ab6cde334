# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running Server Manager holds on the host: its lock, its pid file, its sockets."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from clusterops.errors import ClusterOpsError
from clusterops.state import State, write_private

LOOPBACK = "127.0.0.1"
LOCK_FILE = "server-manager.lock"
PORT_KEY = "port_server_manager"


class AlreadyRunning(ClusterOpsError):
    """Another Server Manager serves this state folder."""


@contextmanager
def only_one(state: State) -> Iterator[None]:
    """Be the one Server Manager of a state folder. The kernel frees the lock on any death.

    Raises:
        AlreadyRunning: there is one.
    """
    handle = os.open(state.root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"the Server Manager of {state.cluster_file} is already running{_pid(state)}"
            ) from error
        try:
            write_private(state.pid_file, f"{os.getpid()}\n")
            yield
        finally:
            state.pid_file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def open_sockets(port: int, host_address: str) -> list[socket.socket]:
    """Sockets on loopback and, where machines reach the host by an address of its own, there.

    Raises:
        ClusterOpsError: the port is in use.
    """
    sockets: list[socket.socket] = []
    try:
        for address in dict.fromkeys((LOOPBACK, host_address)):
            if (opened := _open(address, port)) is not None:
                sockets.append(opened)
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _open(address: str, port: int) -> socket.socket | None:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return None  # a name such as host.docker.internal leads to loopback
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL and address != LOOPBACK:
            return None
        if error.errno == errno.EADDRINUSE:
            raise ClusterOpsError(
                f"port {port} on {address} (Server Manager API) is already in use",
                remedy=f"stop what uses it, or set {PORT_KEY} in cluster.yml",
            ) from error
        if error.errno == errno.EACCES:
            raise ClusterOpsError(
                f"port {port} (Server Manager API) may not be opened by this user",
                remedy=f"set {PORT_KEY} in cluster.yml to a port above 1023",
            ) from error
        raise ClusterOpsError(f"cannot listen on {address}:{port}: {error.strerror}") from error
    return listener


def _pid(state: State) -> str:
    try:
        return f" (pid {int(state.pid_file.read_text(encoding='ascii'))})"
    except (OSError, ValueError):
        return ""
