# SPDX-License-Identifier: GPL-3.0-or-later
"""Every secret of a cluster, for whoever looks whether one of them got out.

A file of the state folder that is named here neither as a secret nor as harmless is reported, so
that a new secret cannot be forgotten.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clusterops.state import State

MIN_LENGTH = 8
"""A shorter value would be found by chance."""


@dataclass(frozen=True)
class Secret:
    """``text`` is what only someone who knows the secret can have written."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def forms(self) -> tuple[str, ...]:
        """How it may be found in a text: as it is, and as a part of a text in Base64."""
        return (self.text, *_in_base64(self.text))


def _password(content: str) -> str:
    """A token, or what Ansible's password lookup keeps: the password, and perhaps its salt."""
    return content.split(" ", 1)[0].strip()


def _private_key(content: str) -> str:
    """A line from the middle of a PEM block: public keys and certificates do not have it."""
    lines = [line for line in content.splitlines() if line and not line.startswith("-----")]
    return lines[len(lines) // 2] if lines else ""


def _next_token(content: str) -> str:
    """The token that a change of tokens which was cut off is about to put in force."""
    return str(json.loads(content)["new"]["admin"])


SECRETS: Mapping[str, Callable[[str], str]] = {
    "tokens.next": _next_token,
    "token*": _password,
    "tokens/*": _password,
    "secrets/*": _password,
    "ssh/id_ed25519": _private_key,
    "ssh/host_ca": _private_key,
    "tls/*.key": _private_key,
}
"""Files of the state folder -> what of their content is secret."""

HARMLESS = (
    "access.json",
    "endpoint.json",
    "engine.json",
    "deployed.json",
    "resolved.json",
    "provider",
    "*.pid",
    "*.lock",
    "*.log",
    "collection/*",
    "load/*",
    "jobs/*",
    "run-*/*",
    "vagrant/*",
    "logs/*",
    "ssh/*.pub",
    "ssh/known_hosts",
    "ssh/template_known_hosts",
    "tls/*.crt",
    "wheels/*",
    "applications/*",
)
"""What else is in there. It may hold no secret, and whoever looks for them looks there as well."""


def secrets_of(
    state: State, values: Mapping[str, str] | None = None
) -> tuple[list[Secret], list[str]]:
    """The secrets of a cluster, and files of which nobody has said whether they hold one.

    Args:
        values: of ``application_env_file``, which are the application's secrets.
    """
    found: list[Secret] = []
    unknown: list[str] = []
    for path in sorted(path for path in state.root.rglob("*") if path.is_file()):
        name = path.relative_to(state.root).as_posix()
        extract = next((act for glob, act in SECRETS.items() if _matches(name, glob)), None)
        if extract:
            found.append(Secret(name, extract(path.read_text(encoding="utf-8"))))
        elif not any(_matches(name, glob) for glob in HARMLESS):
            unknown.append(name)
    found += [Secret(f"application_env_file: {key}", text) for key, text in (values or {}).items()]
    return [secret for secret in found if len(secret.text) >= MIN_LENGTH], unknown


def found_in(text: str, secrets: list[Secret]) -> list[str]:
    """Names of the secrets that a text gives away."""
    return [each.name for each in secrets if any(form in text for form in each.forms())]


def harmless_files(state: State) -> Iterator[Path]:
    """The files of the state folder that must not give a secret away."""
    for path in sorted(path for path in state.root.rglob("*") if path.is_file()):
        name = path.relative_to(state.root).as_posix()
        if not any(_matches(name, glob) for glob in SECRETS):
            yield path


def _matches(name: str, glob: str) -> bool:
    """Whether a file, or a folder that it is in, is meant."""
    parts = PurePosixPath(name).parts
    depth = len(PurePosixPath(glob).parts)
    return len(parts) >= depth and PurePosixPath(*parts[:depth]).match(glob)


def _in_base64(text: str) -> tuple[str, ...]:
    """The characters that any text in Base64 has which holds ``text``, by where in it that is."""
    raw = text.encode()
    forms = []
    for before in range(3):
        after = -(before + len(raw)) % 3
        encoded = base64.b64encode(b"\0" * before + raw + b"\0" * after).decode()
        start = -(-before * 8 // 6)
        forms.append(encoded[start : (before + len(raw)) * 8 // 6])
    return tuple(forms)
