# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own configuration contributes to an image build.

Package mirrors, proxies and certificate authorities are never named by the project: a build
uses those of the machine it runs on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

CA_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
EXTRA_CA_DIR = Path("usr/local/share/ca-certificates")


@dataclass(frozen=True)
class AptSources:
    """Where the host's distribution archive is: URI of the archive, and of security updates."""

    archive: str | None = None
    security: str | None = None

    def sources_list(self, suite: str) -> str:
        """A sources.list for ``suite``, or nothing where the host has no Debian mirror."""
        if not self.archive:
            return ""
        lines = [f"deb {self.archive} {suite} main", f"deb {self.archive} {suite}-updates main"]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security main")
        return "\n".join(lines) + "\n"


def apt_sources(root: Path = Path("/")) -> AptSources:
    """The Debian mirrors of the host, read from its apt configuration.

    Only a Debian host has mirrors that serve Debian; on others the answer is empty.
    """
    release = _read(root / "etc/os-release")
    if not re.search(r"^ID=\"?debian\"?$", release, re.MULTILINE):
        return AptSources()
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.MULTILINE)
    codename = match.group(1) if match else ""
    archive = security = None
    for uri, suite in _entries(root / "etc/apt"):
        if not uri.startswith(("http://", "https://")):
            continue  # file:, cdrom: and the like lead nowhere inside a build
        if suite == codename:
            archive = archive or uri
        elif suite in (f"{codename}-security", f"{codename}/updates"):
            security = security or uri
    return AptSources(archive=archive, security=security)


def _entries(apt: Path) -> list[tuple[str, str]]:
    """(URI, suite) pairs of every binary source, one-line and deb822 format (sources.list(5))."""
    folder = apt / "sources.list.d"
    found: list[tuple[str, str]] = []
    for path in [apt / "sources.list", *sorted(folder.glob("*.list"))]:
        for line in _read(path).splitlines():
            match = re.match(r"deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)", line.strip())
            if match:
                found.append((match.group(1), match.group(2)))
    for path in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", _read(path)):
            lines = [line for line in stanza.splitlines() if not line.startswith("#")]
            unfolded = re.sub(r"\n[ \t]+", " ", "\n".join(lines))
            fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", unfolded, re.MULTILINE))
            if "deb" not in fields.get("Types", "").split():
                continue
            if fields.get("Enabled", "yes").lower() in ("no", "false", "off", "without", "0"):
                continue
            for uri in fields.get("URIs", "").split():
                found += [(uri, suite) for suite in fields.get("Suites", "").split()]
    return found


def extra_ca_certificates(root: Path = Path("/")) -> dict[str, bytes]:
    """Certificate authorities that the host's administrator added: file name -> PEM."""
    folder = root / EXTRA_CA_DIR
    return {
        str(path.relative_to(folder)).replace("/", "-"): path.read_bytes()
        for path in sorted(folder.rglob("*.crt"))
        if path.is_file()
    }


def apt_conf(environment: dict[str, str] | None = None) -> str:
    """apt settings for a build: the host's proxies, and nothing that is not needed in a node."""
    environment = dict(os.environ) if environment is None else environment
    lines = [
        'APT::Install-Recommends "false";',
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
    ]
    for scheme in ("http", "https"):
        proxy = environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY")
        if proxy:
            lines.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return "\n".join(lines) + "\n"


def build_files(suite: str, root: Path = Path("/")) -> dict[str, bytes]:
    """The files under ``host/`` of a build context."""
    bundle = root / CA_BUNDLE
    files = {
        "host/sources.list": apt_sources(root).sources_list(suite).encode(),
        "host/apt.conf": apt_conf().encode(),
        "host/ca-bundle.crt": bundle.read_bytes() if bundle.exists() else b"",
        "host/ca/.keep": b"",
    }
    for name, pem in extra_ca_certificates(root).items():
        files[f"host/ca/{name}"] = pem
    return files


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
