# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that the user gives to an application: in cluster.yml, and secrets in a file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from clusterops.errors import UsageError

VAULT = "$ANSIBLE_VAULT;"
VAULT_PASSWORD = "ANSIBLE_VAULT_PASSWORD_FILE"  # noqa: S105 - the name of a variable
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def given_values(env: Mapping[str, object], env_file: str, folder: Path) -> dict[str, str]:
    """``application_env`` of cluster.yml and what is in ``application_env_file``, which wins.

    Args:
        env_file: name of the file, relative to ``folder``; empty for none.
        folder: that of cluster.yml.

    Raises:
        UsageError: the file cannot be used; no message has a value.
    """
    values = dict(env)
    if env_file:
        path = folder / Path(env_file).expanduser()
        values |= _mapping(path, _read(path))
    return {name: as_text(value) for name, value in values.items()}


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise UsageError(f"application_env_file: {path}: {reason}") from error
    if text.startswith(VAULT):
        return _decrypt(path, text)
    if mode & 0o077:
        raise UsageError(
            f"application_env_file: {path}: others may read it (mode {mode:04o})",
            remedy=f"chmod 600 {path}, or encrypt it with ansible-vault",
        )
    return text


def _decrypt(path: Path, text: str) -> str:
    password = os.environ.get(VAULT_PASSWORD)
    if not password:
        raise UsageError(
            f"application_env_file: {path}: is encrypted with Ansible Vault",
            remedy=f"set {VAULT_PASSWORD} to the file that holds its password",
        )
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import VaultLib, VaultSecret

    try:
        secret = VaultSecret(Path(password).expanduser().read_bytes().strip())
        clear: bytes = VaultLib([("default", secret)]).decrypt(text)
        return clear.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{VAULT_PASSWORD}: {password}: {error.strerror}") from error
    except (AnsibleError, UnicodeDecodeError) as error:
        raise UsageError(
            f"application_env_file: {path}: cannot be decrypted with the password in {password}"
        ) from error


def _mapping(path: Path, text: str) -> dict[str, Any]:
    where = f"application_env_file: {path}"
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f": line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: is not valid YAML") from None
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected lines such as 'API_KEY: value'")
    for name, value in data.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f"{where}: a key is not the name of a variable; allowed: letters, digits and _"
            )
        if not isinstance(value, str | int | float | bool):
            raise UsageError(
                f"{where}: {name}: found a {type(value).__name__}; "
                "allowed: text, a number, true or false"
            )
    return data


def as_text(value: object) -> str:
    """A value as an environment variable holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
