# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may log in to PostgreSQL, and whose databases there are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import typing as t
import unicodedata

ENCODING, LOCALE = "UTF8", "C.UTF-8"
ITERATIONS = 4096
STATE = """
SELECT json_build_object(
  'roles', (SELECT json_object_agg(rolname, json_build_object('password', rolpassword, 'login',
      rolcanlogin, 'powerful', rolsuper OR rolcreatedb OR rolcreaterole)) FROM pg_authid),
  'databases', (SELECT json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba),
      'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype))
      FROM pg_database),
  'monitors', (SELECT coalesce(json_agg(pg_get_userbyid(member)), '[]') FROM pg_auth_members
      WHERE roleid = 'pg_monitor'::regrole));
"""


class AccessRefused(Exception):
    """A database cannot be made what it should be; one line with its name."""


def psql(port: int) -> list[str]:
    """The command that takes statements on stdin, as the superuser of this machine."""
    return [
        *("runuser", "--user", "postgres", "--", "psql", "--no-psqlrc", "--quiet"),
        *("--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", f"--port={port}"),
    ]


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password (RFC 5803); it need not see, and log, the password."""
    normal = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", normal, salt, iterations)
    client = hmac.new(salted, b"Client Key", "sha256").digest()
    stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
    server = base64.b64encode(hmac.new(salted, b"Server Key", "sha256").digest()).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


def is_password(password: str, kept: str | None) -> bool:
    """Whether what PostgreSQL keeps was made of this password."""
    try:
        iterations, salt = (kept or "").split("$")[1].split(":")
        made = verifier(password, base64.b64decode(salt), int(iterations))
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(made, kept or "")


def name(text: str) -> str:
    """As an identifier."""
    return '"' + text.replace('"', '""') + '"'


def statements(params: dict[str, t.Any], state: dict[str, t.Any]) -> list[tuple[str, str]]:
    """What is to be changed, in words and as a statement that holds no password.

    Raises:
        AccessRefused: a database that is there has another encoding.
    """
    found = []
    for one in params["applications"]:
        found += _login(one["name"], one["password"], state["roles"].get(one["name"]))
        found += _database(one["name"], state["databases"].get(one["name"]))
    monitor = params.get("monitoring_user")
    if monitor and monitor not in state["roles"]:
        command = f"CREATE ROLE {name(monitor)} LOGIN CONNECTION LIMIT 3"
        found.append((f"user {monitor}", command))
    if monitor and monitor not in state["monitors"]:
        found.append((f"statistics for {monitor}", f"GRANT pg_monitor TO {name(monitor)}"))
    return found


def _login(user: str, password: str, known: dict[str, t.Any] | None) -> list[tuple[str, str]]:
    right = known and known["login"] and not known["powerful"]
    if right and is_password(password, known["password"]):  # type: ignore[index]
        return []
    verb = "ALTER" if known else "CREATE"
    kept = verifier(password, os.urandom(16))
    rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
    return [(f"user {user}", f"{verb} ROLE {name(user)} {rights} PASSWORD '{kept}'")]


def _database(owner: str, known: dict[str, t.Any] | None) -> list[tuple[str, str]]:
    if known is None:
        # The encoding is said here: that of the cluster is the one of the machine it was made on.
        made_as = f"ENCODING '{ENCODING}' LC_COLLATE '{LOCALE}' LC_CTYPE '{LOCALE}'"
        command = f"CREATE DATABASE {name(owner)} OWNER {name(owner)} {made_as} TEMPLATE template0"
        return [(f"database {owner}", command)]
    has = (known["encoding"], known["collate"], known["ctype"])
    if has != (ENCODING, LOCALE, LOCALE):
        raise AccessRefused(
            f"database {owner}: found {', '.join(has)}; allowed: {ENCODING}, {LOCALE}. PostgreSQL "
            "cannot change it: dump the database, drop it, and run this again"
        )
    if known["owner"] == owner:
        return []
    return [(f"owner of {owner}", f"ALTER DATABASE {name(owner)} OWNER TO {name(owner)}")]


def look(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Whether the module postgres_access would find nothing to do."""
    import subprocess

    try:
        asked = subprocess.run(  # noqa: S603
            psql(int(arguments.get("port", 5432))),
            check=False,
            input=STATE,
            capture_output=True,
            text=True,
        )
        done = not statements(arguments, json.loads(asked.stdout))
    except (AccessRefused, OSError, KeyError, TypeError, ValueError, AttributeError):
        done = False
    return {"done": done}
