# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry answers, and what it does not."""

from __future__ import annotations

import http.client
import json
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _registry
from ansible_collections.clusterops.playground.plugins.module_utils._registry import (
    Registry,
    RegistryError,
)


class Answer:
    def __init__(self, body: Any = None, **headers: str) -> None:
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}
        self._body = json.dumps(body).encode()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> bytes:
        return self._body


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Method and path to an answer, or to what is raised; anything else is a 404."""
    known: dict[str, Any] = {}

    class Opener:
        def open(self, request: Any, timeout: float) -> Any:
            path = request.full_url.removeprefix("http://10.0.0.10:5001/v2/")
            outcome = known.get(f"{request.get_method()} {path}", http_error(404))
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(_registry.urllib.request, "build_opener", lambda *_: Opener())
    return known


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("u", status, "no", {}, None)  # type: ignore[arg-type]


def test_the_digest_of_a_tag(answers: dict[str, Any]) -> None:
    answers["HEAD apps/shop/manifests/t1"] = Answer(Docker_Content_Digest="sha256:8d6f")
    registry = Registry("10.0.0.10:5001")
    assert registry.digest("apps/shop", "t1") == "sha256:8d6f"
    assert registry.digest("apps/shop", "t2") is None


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (http_error(500), "answered 500"),
        (ConnectionRefusedError(111, "refused"), "cannot be reached"),
        (http.client.BadStatusLine("x"), "cannot be reached"),
    ],
)
def test_a_registry_in_trouble_is_not_an_empty_one(
    answers: dict[str, Any], outcome: Exception, message: str
) -> None:
    answers["HEAD apps/shop/manifests/t1"] = outcome
    with pytest.raises(RegistryError, match=message):
        Registry("10.0.0.10:5001").digest("apps/shop", "t1")


def test_an_authority_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    for name in ("ca.crt", "missing.crt"):
        with pytest.raises(RegistryError, match=f"{name}: no readable certificate"):
            Registry("10.0.0.10:5001", str(tmp_path / name))


def test_the_repositories_of_every_page(answers: dict[str, Any]) -> None:
    names = [f"apps/a{n:03}" for n in range(130)]
    answers["GET _catalog?n=100"] = Answer({"repositories": names[:100]})
    answers["GET _catalog?n=100&last=apps/a099"] = Answer({"repositories": names[100:]})
    assert Registry("10.0.0.10:5001").repositories() == names


def test_a_repository_whose_images_are_gone_has_no_tags(answers: dict[str, Any]) -> None:
    answers["GET apps/shop/tags/list"] = Answer({"name": "apps/shop", "tags": None})
    registry = Registry("10.0.0.10:5001")
    assert registry.tags("apps/shop") == []
    assert registry.tags("apps/other") == []
    assert registry.repositories() == []
