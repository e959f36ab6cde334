# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container engine refuses, in a driver's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker.errors import APIError, DockerException

from clusterops.server_manager.driver import (
    DriverError,
    DriverFailure,
    DriverTimeout,
    NameTaken,
    PortInUse,
    ProviderUnavailable,
    Server,
)


@contextmanager
def told(failure: str) -> Iterator[None]:
    """Turn the SDK's errors into a driver's, with ``failure`` in front."""
    try:
        yield
    except DriverError:
        raise
    except requests.exceptions.Timeout as error:
        raise DriverTimeout(f"{failure}: the container engine took too long") from error
    except requests.exceptions.ConnectionError as error:
        raise ProviderUnavailable(
            "the container engine does not answer", remedy="is it running? try: docker info"
        ) from error
    except APIError as error:
        raise DriverFailure(f"{failure}: {_explain(error)}") from error
    except (DockerException, requests.exceptions.RequestException) as error:
        raise DriverFailure(f"{failure}: {error}") from error


def start_error(server: Server, error: APIError) -> DriverError:
    """Why a machine did not start: most often somebody else uses one of its ports."""
    text = _explain(error)
    if re.search(r"already (allocated|in use)|not available", text):
        for what, port in server.ports.items():
            if re.search(rf":{port}\b", text):
                return PortInUse(
                    f"port {port} on the host ({what} of '{server.name}') is already in use",
                    remedy="stop what uses it, or move the cluster's ports in cluster.yml",
                )
    return DriverFailure(f"starting '{server.name}' failed: {text}")


def name_taken(container: str) -> NameTaken:
    """A container of this name is somebody else's."""
    return NameTaken(
        f"a container '{container}' exists that this cluster did not make",
        remedy=f"rename or remove it (docker rm {container}) or choose another cluster_name",
    )


def _explain(error: APIError) -> str:
    return " ".join(str(error.explanation or error).split())
