# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build takes over from the machine it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterops.images.host_context import (
    AptSources,
    apt_conf,
    apt_sources,
    build_files,
    extra_ca_certificates,
)

MIRROR = "http://mirror.example/debian"
SECURITY = "http://mirror.example/security"
DEB822 = f"""\
# the archive
Types: deb deb-src
URIs: {MIRROR}
Suites: bookworm
 bookworm-updates
Components: main

Types: deb
URIs: {SECURITY}
Suites: bookworm-security
Components: main
"""
ONE_LINE = f"""\
# deb http://old.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] {MIRROR} bookworm main
deb {SECURITY} bookworm-security main
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A Debian host without package sources."""
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list", ONE_LINE)]
)
def test_both_formats_of_package_sources(host: Path, name: str, text: str) -> None:
    (host / "etc/apt" / name).write_text(text)
    assert apt_sources(host) == AptSources(archive=MIRROR, security=SECURITY)


def test_fields_that_go_on_in_the_next_line(host: Path) -> None:
    text = f"Types: deb\nSuites:\n bookworm\nURIs:\n {MIRROR}\n"
    (host / "etc/apt/sources.list.d/a.sources").write_text(text)
    assert apt_sources(host).archive == MIRROR


@pytest.mark.parametrize("word", ["no", "No", "false"])
def test_a_source_that_is_switched_off(host: Path, word: str) -> None:
    text = f"Enabled: {word}\nTypes: deb\nURIs: {MIRROR}\nSuites: bookworm\n"
    (host / "etc/apt/sources.list.d/a.sources").write_text(text)
    assert apt_sources(host) == AptSources()


@pytest.mark.parametrize("uri", ["file:/srv/debian", "cdrom:[Debian]/", "mirror+file:/etc/m"])
def test_sources_that_a_build_cannot_reach(host: Path, uri: str) -> None:
    (host / "etc/apt/sources.list").write_text(f"deb {uri} bookworm main\n")
    assert apt_sources(host).archive is None


def test_other_distributions_have_no_mirror_of_debian(host: Path) -> None:
    (host / "etc/apt/sources.list").write_text("deb http://u.example/ubuntu noble main\n")
    (host / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n")
    assert apt_sources(host) == AptSources()


def test_a_machine_without_any_of_these_files(tmp_path: Path) -> None:
    assert apt_sources(tmp_path) == AptSources()
    assert extra_ca_certificates(tmp_path) == {}
    files = build_files("trixie", tmp_path)
    assert files["host/sources.list"] == b""
    assert files["host/ca-bundle.crt"] == b""


def test_the_mirror_serves_the_suite_of_the_machines() -> None:
    assert AptSources(MIRROR, SECURITY).sources_list("trixie").splitlines() == [
        f"deb {MIRROR} trixie main",
        f"deb {MIRROR} trixie-updates main",
        f"deb {SECURITY} trixie-security main",
    ]
    assert "security" not in AptSources(MIRROR).sources_list("trixie")
    assert AptSources().sources_list("trixie") == ""


def test_proxies_of_the_host() -> None:
    text = apt_conf({"http_proxy": "http://proxy:1", "HTTPS_PROXY": "http://proxy:2"})
    assert 'Acquire::http::Proxy "http://proxy:1";' in text
    assert 'Acquire::https::Proxy "http://proxy:2";' in text
    assert "Proxy" not in apt_conf({})


def test_certificate_authorities_of_the_host(host: Path) -> None:
    folder = host / "usr/local/share/ca-certificates"
    (folder / "team").mkdir(parents=True)
    (folder / "one.crt").write_text("one")
    (folder / "team/two.crt").write_text("two")
    (folder / "notes.txt").write_text("no certificate")
    assert extra_ca_certificates(host) == {"one.crt": b"one", "team-two.crt": b"two"}
    assert build_files("trixie", host)["host/ca/team-two.crt"] == b"two"
