# SPDX-License-Identifier: GPL-3.0-or-later
"""When an application is ready, and which applications a machine has."""

from __future__ import annotations

import http.client
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.clusterops.playground.plugins.module_utils import _compose_application
from ansible_collections.clusterops.playground.plugins.module_utils._releases import Releases


class Answer:
    def __init__(self, status: int) -> None:
        self.status = status

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("outcome", "ready"),
    [
        (Answer(200), True),
        (Answer(204), False),
        (urllib.error.HTTPError("u", 503, "no", {}, None), False),  # type: ignore[arg-type]
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
        (http.client.BadStatusLine("SSH-2.0"), False),
    ],
)
def test_only_an_answer_of_200_is_ready(
    monkeypatch: pytest.MonkeyPatch, outcome: Any, ready: bool
) -> None:
    class Opener:
        def open(self, _: str, timeout: float) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(_compose_application.urllib.request, "build_opener", lambda *_: Opener())
    assert _compose_application.answers_ready("http://127.0.0.1:5000/ready") is ready


def test_applications_are_found_by_their_current_release(tmp_path: Path) -> None:
    assert _compose_application.applications_below(str(tmp_path / "none")) == []
    shop = Releases(str(tmp_path / "shop"))
    shop.write("s1", {"compose.yml": "services: {}\n"})
    shop.switch("s1")
    (tmp_path / "other").mkdir()
    assert _compose_application.applications_below(str(tmp_path)) == ["shop"]


def test_an_application_without_an_image_needs_none(tmp_path: Path) -> None:
    class Nothing:
        def run(self, *argv: str, **_: Any) -> None:
            raise AssertionError(argv)

    app = _compose_application.Application(Nothing(), Releases(str(tmp_path)), "shop", 90)
    assert app.has_image(None)
    assert app.remove_images(None, set()) == []
    assert app.remove_images("other/image:1", set()) == []
