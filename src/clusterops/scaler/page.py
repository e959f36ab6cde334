# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard's files: compressed once, and not sent again to whoever has them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi.responses import Response

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = "dashboard.html"


@dataclass(frozen=True, slots=True)
class Part:
    """One file as it is sent."""

    content: bytes
    packed: bytes
    kind: str
    etag: str

    def answer(self, headers: Mapping[str, str]) -> Response:
        """The answer to a request with these headers."""
        common = {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",  # kept, and asked for each time whether it is still right
            "ETag": self.etag,
            "Vary": "Accept-Encoding",
        }
        known = [tag.strip() for tag in headers.get("if-none-match", "").split(",")]
        if self.etag in known:
            return Response(status_code=304, headers=common)
        if _takes_gzip(headers.get("accept-encoding", "")):
            common["Content-Encoding"] = "gzip"
            return Response(self.packed, media_type=self.kind, headers=common)
        return Response(self.content, media_type=self.kind, headers=common)


def load() -> dict[str, Part]:
    """All files of the page by their path below ``static``."""
    return {
        name: _part(file.read_bytes(), name)
        for name, file in _walk(files("clusterops.scaler").joinpath("static"))
        if _suffix(name) in _TYPES
    }


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _part(content: bytes, name: str) -> Part:
    digest = hashlib.sha256(content).hexdigest()[:20]
    packed = gzip.compress(content, 9, mtime=0)
    return Part(content, packed, _TYPES[_suffix(name)], f'"{digest}"')


def _suffix(name: str) -> str:
    return name[name.rfind(".") :] if "." in name else ""


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        name, _, quality = each.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
