# SPDX-License-Identifier: GPL-3.0-or-later
"""Small HTTP clients of the command line: the Server Manager's and the scaler's.

The standard library suffices, starts fast, and ignores proxy variables, which must never
see a token that is meant for this machine.
"""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from clusterops.errors import ClusterOpsError, NotRunningError
from clusterops.state import State, cluster_file

START = "start it with ./playground up"


class AnswerError(ClusterOpsError):
    """A service answered, but with an error. ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class JsonClient:
    """Sends and receives JSON.

    Args:
        what: the service's name in error messages.
        token: the token, or its file, which is read for each request: it may be replaced.
        timeout_s: the longest wait for a connection, and for an answer.
    """

    def __init__(
        self, url: str, what: str, *, token: str | Path | None = None, timeout_s: float = 5.0
    ) -> None:
        self.url = url.rstrip("/")
        self.what = what
        self._token = token
        self._timeout_s = timeout_s

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer.

        Raises:
            NotRunningError: nothing answers at the address.
            AnswerError: it answers with a status of 400 or more, or not with JSON.
        """
        parts = urlsplit(self.url)
        headers = self.headers("application/json")
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port or 80, timeout=self._timeout_s
        )
        try:
            connection.request(method, parts.path + path, payload, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotRunningError(
                f"The {self.what} does not answer at {self.url}: {reason}", remedy=START
            ) from error
        finally:
            connection.close()
        return self._decode(method, path, answer.status, text)

    def headers(self, accept: str) -> dict[str, str]:
        """What every request says: what it understands, and who asks."""
        token = _token(self._token)
        return {"Accept": accept, **({"Authorization": f"Bearer {token}"} if token else {})}

    def _decode(self, method: str, path: str, status: int, text: str) -> Any:
        try:
            data = json.loads(text) if text else None
        except ValueError:
            data = None
        if status == 401:
            raise AnswerError(
                f"The {self.what} at {self.url} does not take this cluster's token",
                status,
                remedy="another cluster may use this port: give each its own ports in cluster.yml",
            )
        if status >= 400:
            detail = ""
            if isinstance(data, dict):
                detail = str(data.get("error") or data.get("detail") or "")
            raise AnswerError(
                f"The {self.what} refused {method} {path}: {detail or f'status {status}'}", status
            )
        if data is None and text:
            raise AnswerError(f"The {self.what} at {self.url} did not answer with JSON", status)
        return data


def alerts(cluster: dict[str, Any]) -> tuple[str, ...]:
    """The alerts that fire, one line each; none where Prometheus does not answer."""
    url = host_url(cluster.get("config") or {}, "port_prometheus", 9090)
    try:
        answer = JsonClient(url, "Prometheus", timeout_s=1.0).request("GET", "/api/v1/alerts")
        return tuple(
            f"{alert['labels']['alertname']}: {alert['annotations'].get('summary', '')}"
            for alert in answer["data"]["alerts"]
            if alert["state"] == "firing"
        )
    except (ClusterOpsError, KeyError, TypeError, AttributeError):
        return ()


class ServerManagerClient(JsonClient):
    """The machines of one cluster."""

    # Longer than the Server Manager gives its provider: VBoxManage now and then takes ten seconds.
    def __init__(self, url: str, token: str | Path | None, *, timeout_s: float = 25.0) -> None:
        super().__init__(url, "Server Manager", token=token, timeout_s=timeout_s)

    @classmethod
    def of(cls, state: State) -> ServerManagerClient:
        """The client of a state folder.

        Raises:
            NotRunningError: the cluster was never started here.
        """
        try:
            endpoint = json.loads(state.endpoint_file.read_text(encoding="utf-8"))
            token_file = Path(endpoint.get("token_file") or state.token_file)
            token_file.read_text(encoding="ascii")
            return cls(str(endpoint["url"]), token_file)
        except (OSError, ValueError, KeyError) as error:
            raise NotRunningError("The cluster is not running.", remedy=START) from error

    def request(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return super().request(method, path, body)
        except NotRunningError as error:
            raise NotRunningError(
                f"The cluster is not running: no Server Manager at {self.url}.", remedy=START
            ) from error

    def cluster(self) -> dict[str, Any]:
        """Name, provider, addresses and the resolved configuration."""
        data = self.request("GET", "/api/v1/cluster")
        return data if isinstance(data, dict) else {}

    def servers(self) -> list[dict[str, Any]]:
        """Every machine that exists, control node first."""
        data = self.request("GET", "/api/v1/servers")
        found = data.get("servers", []) if isinstance(data, dict) else data or []
        existing = [server for server in found if server.get("state") != "absent"]
        return sorted(existing, key=_order)

    def server(self, name: str) -> dict[str, Any]:
        """One machine.

        Raises:
            AnswerError: with status 404 when the cluster has no such machine.
        """
        data = self.request("GET", f"/api/v1/servers/{quote(name, safe='')}")
        return data if isinstance(data, dict) else {}


class ScalerClient(JsonClient):
    """The scaler's API, which runs on the control node."""

    def __init__(
        self, url: str, token: str | Path | None = None, *, timeout_s: float = 5.0
    ) -> None:
        super().__init__(url, "scaler", token=token, timeout_s=timeout_s)

    def status(self) -> dict[str, Any]:
        """What the scaler sees, wants and does."""
        data = self.request("GET", "/api/v1/status")
        return data if isinstance(data, dict) else {}

    def set_desired(self, count: int) -> dict[str, Any]:
        """Ask for a number of agents; see :attr:`ClusterConfig.scaling_hold_s`."""
        data = self.request("POST", "/api/v1/desired", {"desired": count})
        return data if isinstance(data, dict) else {}

    def pause(self, paused: bool) -> bool:
        """Pause the scaler, or let it go on; whether that changed something."""
        data = self.request("POST" if paused else "DELETE", "/api/v1/pause")
        return bool(isinstance(data, dict) and data.get("changed"))

    def ticks(
        self, *, limit: int, after: float | None = None, until: float | None = None
    ) -> list[dict[str, Any]]:
        """Recorded ticks, newest first. Times are Unix seconds."""
        return self._rows("ticks", limit=limit, after=after, until=until)

    def events(
        self,
        *,
        limit: int,
        kind: str | None = None,
        after: float | None = None,
        until: float | None = None,
    ) -> list[dict[str, Any]]:
        """Events, newest first. Times are Unix seconds."""
        return self._rows("events", limit=limit, kind=kind, after=after, until=until)

    def _rows(self, what: str, **query: Any) -> list[dict[str, Any]]:
        given = {
            key: _utc(value) if isinstance(value, float) else value
            for key, value in query.items()
            if value is not None
        }
        data = self.request("GET", f"/api/v1/{what}?{urlencode(given)}")
        rows = data.get(what) if isinstance(data, dict) else None
        return rows if isinstance(rows, list) else []

    def audit(self, *, limit: int) -> list[dict[str, Any]]:
        """Who asked the scaler for what, newest first."""
        return self._rows("audit", limit=limit)

    def hold(self, holder: str, ttl_s: float) -> dict[str, Any]:
        """Keep the scaler from starting actions; it answers once none is in progress."""
        data = self.request("POST", "/api/v1/hold", {"holder": holder, "ttl_s": ttl_s})
        return data if isinstance(data, dict) else {}

    def release(self, holder: str | None = None) -> None:
        """End a hold: the holder's own, or any."""
        query = f"?holder={quote(holder, safe='')}" if holder else ""
        self.request("DELETE", f"/api/v1/hold{query}")


def current_state() -> State:
    """The state folder of the cluster in force."""
    return State.beside(cluster_file())


def server_manager() -> ServerManagerClient:
    """The Server Manager of the cluster in force; see :meth:`ServerManagerClient.of`."""
    return ServerManagerClient.of(current_state())


def host_url(config: dict[str, Any], key: str, default: int) -> str:
    """The address of a published port, as this machine reaches it."""
    address = str(config.get("cluster_bind_address") or "127.0.0.1")
    if address == "0.0.0.0":  # noqa: S104 - it is compared, not bound
        address = "127.0.0.1"
    return f"http://{address}:{config.get(key, default)}"


def scaler(cluster: dict[str, Any], *, timeout_s: float = 5.0) -> ScalerClient:
    """The scaler of a cluster that the Server Manager described."""
    config = cluster.get("config") or {}
    url = host_url(config, "port_dashboard", 9000)
    return ScalerClient(url, current_state().token_file, timeout_s=timeout_s)


def _token(given: str | Path | None) -> str | None:
    if not isinstance(given, Path):
        return given
    try:
        return given.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _order(server: dict[str, Any]) -> tuple[bool, str, int]:
    name = str(server.get("name", ""))
    stem, _, number = name.rpartition("-")
    return (server.get("role") != "control", stem, int(number) if number.isdigit() else 0)
