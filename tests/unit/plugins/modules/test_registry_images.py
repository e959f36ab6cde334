# SPDX-License-Identifier: GPL-3.0-or-later
"""Only the images that are named stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils._registry import RegistryError
from ansible_collections.clusterops.playground.plugins.modules import registry_images as module

ADDRESS = "10.0.0.10:5001"


class FakeRegistry:
    def __init__(self) -> None:
        self.address = ADDRESS
        self.content = {
            "apps/shop": {"t1": "sha256:1", "t2": "sha256:2", "also-t2": "sha256:2"},
            "apps/hello": {"t1": "sha256:3"},
            "apps/empty": {},
            "base": {"t1": "sha256:4"},
        }
        self.refuses = False

    def repositories(self) -> list[str]:
        return list(self.content)

    def tags(self, repository: str) -> list[str]:
        return list(self.content[repository])

    def digest(self, repository: str, tag: str) -> str | None:
        return self.content[repository].get(tag)

    def delete(self, repository: str, digest: str) -> None:
        if self.refuses:
            raise RegistryError(f"the registry {ADDRESS} answered 405")
        tags = self.content[repository]
        self.content[repository] = {t: d for t, d in tags.items() if d != digest}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    fake = FakeRegistry()
    monkeypatch.setattr(module, "Registry", lambda address, authority: fake)
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(keep: list[str], check_mode: bool = False) -> dict[str, Any]:
        arguments = {"registry": ADDRESS, "keep": keep, "_ansible_check_mode": check_mode}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


def test_what_is_not_named_goes_and_other_paths_are_left_alone(
    registry: FakeRegistry, run: Any
) -> None:
    keep = [f"{ADDRESS}/apps/shop@sha256:1"]
    result = run(keep)
    assert result["changed"] is True
    assert result["removed"] == [f"{ADDRESS}/apps/hello@sha256:3", f"{ADDRESS}/apps/shop@sha256:2"]
    assert registry.content["apps/shop"] == {"t1": "sha256:1"}
    assert registry.content["base"] == {"t1": "sha256:4"}
    again = run(keep)
    assert (again["changed"], again["removed"]) == (False, [])


def test_check_mode_removes_nothing(registry: FakeRegistry, run: Any) -> None:
    assert len(run([], check_mode=True)["removed"]) == 3
    assert registry.content["apps/hello"] == {"t1": "sha256:3"}


def test_a_registry_that_does_not_delete_is_reported(registry: FakeRegistry, run: Any) -> None:
    registry.refuses = True
    result = run([])
    assert result["failed"] is True
    assert result["msg"] == f"the registry {ADDRESS} answered 405"
