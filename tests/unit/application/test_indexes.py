# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own package indexes reach builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.application.indexes import npmrc, pip_conf


def test_package_indexes_that_a_node_can_reach(
    pip_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_settings["index-url"] = "http://index.example/simple\n"
    pip_settings["extra-index-url"] = "file:///srv/wheels\n"
    pip_settings["trusted-host"] = "index.example\n"
    assert pip_conf() == (
        "[global]\nindex-url = http://index.example/simple\ntrusted-host = index.example\n"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "http://other.example/simple")
    assert "index-url = http://other.example/simple" in pip_conf()


def test_npm_registries_and_their_logins_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", "t0ken")
    (tmp_path / "npmrc").write_text(
        "audit=false\nregistry = http://npm.example/\n; a comment\n"
        "@shop:registry=http://shop.example/\n//shop.example/:_authToken=${NPM_TOKEN}\n"
    )
    assert npmrc() == (
        "registry = http://npm.example/\n@shop:registry=http://shop.example/\n"
        "//shop.example/:_authToken=t0ken\n"
    )
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://other.example/")
    assert npmrc().splitlines()[-1] == "registry=http://other.example/"
    assert "npm.example" not in npmrc()


def test_a_host_without_npm_settings() -> None:
    assert npmrc() == ""
