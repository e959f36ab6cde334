# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container registry over its HTTP API (OCI distribution specification)."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
_PAGE = 100


class RegistryError(Exception):
    """The registry cannot be reached or does not do what was asked; one line for the user."""


class Registry:
    """The registry at ``address``, HOST:PORT.

    ``authority`` is the file with the certificate of who has signed its certificate; without one it
    is reached without TLS.
    """

    def __init__(self, address: str, authority: str | None = None, timeout_s: float = 5) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._scheme = "https" if authority else "http"
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if authority:
            handlers.append(urllib.request.HTTPSHandler(context=_context(authority)))
        self._opener = urllib.request.build_opener(*handlers)

    def repositories(self) -> list[str]:
        """Names of all repositories, also of those without an image."""
        names: list[str] = []
        while True:
            last = f"&last={urllib.parse.quote(names[-1])}" if names else ""
            answer = self._json(f"_catalog?n={_PAGE}{last}")
            page = (answer or {}).get("repositories") or []
            names += page
            if len(page) < _PAGE:
                return names

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; none where it has no image any more."""
        return (self._json(f"{repository}/tags/list") or {}).get("tags") or []

    def digest(self, repository: str, tag: str) -> str | None:
        """Digest of a tag, or nothing where the registry does not have it."""
        answer = self._request("HEAD", f"{repository}/manifests/{tag}", Accept=MANIFEST_TYPES)
        return answer[0]["Docker-Content-Digest"] if answer else None

    def delete(self, repository: str, digest: str) -> None:
        """Forget an image; its layers stay until the registry's garbage is collected."""
        self._request("DELETE", f"{repository}/manifests/{digest}")

    def _json(self, path: str) -> Any:
        answer = self._request("GET", path)
        return json.loads(answer[1]) if answer else None

    def _request(self, method: str, path: str, **headers: str) -> tuple[Any, bytes] | None:
        """Headers and body of an answer; nothing for a 404.

        Raises:
            RegistryError: the registry cannot be reached, or refuses.
        """
        url = f"{self._scheme}://{self.address}/v2/{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise RegistryError(f"the registry {self.address} answered {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(
                f"the registry {self.address} cannot be reached: {error}"
            ) from error


def images(registry: Registry, path: str) -> list[tuple[str, str]]:
    """Repository and digest of every image below ``path`` that has a tag."""
    found = {
        (repository, digest)
        for repository in registry.repositories()
        if repository.startswith(f"{path}/")
        for tag in registry.tags(repository)
        if (digest := registry.digest(repository, tag))
    }
    return sorted(found)


def look(arguments: dict[str, Any]) -> dict[str, Any]:
    """Whether the module registry_images would find nothing to remove."""
    try:
        registry = Registry(arguments["registry"], arguments.get("authority"))
        found = images(registry, arguments.get("path", "apps"))
        kept = arguments["keep"]
        done = all(f"{registry.address}/{name}@{digest}" in kept for name, digest in found)
    except (RegistryError, KeyError, TypeError):
        done = False
    return {"done": done}


def look_for_image(arguments: dict[str, Any]) -> dict[str, Any]:
    """The image that the module application_image would find in the registry."""
    repository = f"apps/{arguments.get('name')}"
    try:
        registry = Registry(arguments["registry"], arguments.get("authority"))
        digest = registry.digest(repository, arguments["tag"])
    except (RegistryError, KeyError, TypeError):
        return {}
    return {"image": f"{registry.address}/{repository}@{digest}"} if digest else {}


def _context(authority: str) -> ssl.SSLContext:
    """Trusts that authority alone.

    Raises:
        RegistryError: its certificate cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # an ssl.SSLError is one
        raise RegistryError(f"{authority}: no readable certificate: {error}") from error
