# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the Server Manager API, with the standard library only."""

from __future__ import annotations

import json
import ssl
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

SERVERS = "/api/v1/servers"


class ServerManagerError(Exception):
    """The Server Manager cannot be asked, or refused; status is None when it did not answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def read_token(path: str) -> str:
    """The token in a file. Raises ServerManagerError."""
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not ASCII text"
        raise ServerManagerError(f"the token file {path} cannot be read: {reason}") from error


class ServerManagerClient:
    """Calls on one Server Manager; every one may raise ServerManagerError.

    With https, the Server Manager has to prove itself to the authority in ca_file.
    """

    def __init__(
        self, url: str, token: str, timeout_s: float = 30, ca_file: str | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        # The Server Manager is on this host or on the node's own network, never behind a proxy.
        handlers: list[t.Any] = [ProxyHandler({})]
        if url.startswith("https:"):
            handlers.append(HTTPSHandler(context=_tls(ca_file)))
        self._opener = build_opener(*handlers)

    def cluster(self) -> dict[str, t.Any]:
        """The cluster and its resolved configuration."""
        return self._call("GET", "/api/v1/cluster")

    def servers(self) -> list[dict[str, t.Any]]:
        """All machines."""
        return self._call("GET", SERVERS)["servers"]

    def get(self, name: str) -> dict[str, t.Any] | None:
        """One machine, or None."""
        try:
            return self._call("GET", f"{SERVERS}/{quote(name, safe='')}")
        except ServerManagerError as error:
            if error.status == 404:
                return None
            raise

    def create(self, name: str) -> dict[str, t.Any]:
        """Have a machine; a new one is powered off."""
        return self._call("POST", SERVERS, {"name": name})

    def power(self, name: str, action: str) -> str:
        """Turn a machine "on" or "off"; the sentence that says what was done."""
        return self._call("POST", f"{SERVERS}/power", {"action": action, "server": name})["status"]

    def delete(self, name: str) -> None:
        """Remove a machine; none is fine, too."""
        try:
            self._call("DELETE", f"{SERVERS}/{quote(name, safe='')}")
        except ServerManagerError as error:
            if error.status != 404:
                raise

    def _call(self, method: str, path: str, body: t.Any = None) -> dict[str, t.Any]:
        request = Request(  # noqa: S310 - the address is the playground's own
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                answer = json.loads(response.read())
        except HTTPError as error:
            raise ServerManagerError(
                f"the Server Manager refused {method} {path}: {_reason(error)}", error.code
            ) from error
        except URLError as error:
            raise ServerManagerError(
                f"the Server Manager at {self._url} does not answer: {_why(error.reason)}"
            ) from error
        except OSError as error:  # a time-out or reset in the middle of an answer
            raise ServerManagerError(
                f"the Server Manager at {self._url} does not answer: {_why(error)}"
            ) from error
        except Exception as error:  # not HTTP, not JSON: something else listens there
            raise ServerManagerError(
                f"what answers at {self._url} is not a Server Manager"
            ) from error
        if not isinstance(answer, dict):
            raise ServerManagerError(f"what answers at {self._url} is not a Server Manager")
        return answer


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ServerManagerError(
            f"the certificate of the cluster's authority, {ca_file}, cannot be read: {_why(error)}"
        ) from error


def _why(error: t.Any) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not one of this cluster"
    return str(getattr(error, "strerror", None) or error)


def _reason(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except Exception:
        return f"HTTP status {error.code}"
