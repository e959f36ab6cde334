# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's tokens on the host, and how they are replaced while everything goes on.

``token`` opens everything, ``token-read`` only reads, ``token-scaler`` is the scaler's own for its
calls to the Server Manager. ``access.json`` is what the control node gets instead of the first
two: their SHA-256.

A rotation is a file, ``tokens.next``: while it is there, old and new tokens are both right. Every
step may be cut off and done again:

1. :func:`begin` makes the new tokens; the scaler's own is replaced at once.
2. The control node takes ``access.json`` (old and new) and ``token-scaler``.
3. :func:`promote` replaces the tokens of people; ``access.json`` has the new ones alone.
4. The control node takes ``access.json`` again.
5. :func:`finish` forgets the old ones.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path

from clusterops.errors import ClusterOpsError
from clusterops.http_api.access import ADMIN, READ, SCALER, AccessUnknown, Hashes, digest
from clusterops.state import State, write_private

FILES = {ADMIN: "token", READ: "token-read", SCALER: "token-scaler"}
PEOPLE = (ADMIN, READ)
Tokens = dict[str, str]


def path(state: State, role: str) -> Path:
    """The file of a role's token."""
    return state.root / FILES[role]


def pending_file(state: State) -> Path:
    return state.root / "tokens.next"


def access_file(state: State) -> Path:
    """What the control node may know of the tokens of people."""
    return state.root / "access.json"


def ensure(state: State) -> None:
    """Have every token (256 bit, 0600). Safe to call again."""
    state.token()
    for role in FILES:
        if not path(state, role).exists():
            write_private(path(state, role), _new() + "\n", exclusive=True)
    _write_access(state)


def begin(state: State) -> None:
    """Make new tokens, or go on with those of a rotation that was cut off."""
    ensure(state)
    if not is_pending(state):
        old = {role: _read(state, role) for role in FILES}
        change = {"old": old, "new": {role: _new() for role in FILES}}
        write_private(pending_file(state), json.dumps(change) + "\n")
    _put(state, SCALER, _pending(state)["new"][SCALER])
    _write_access(state)


def promote(state: State) -> None:
    """The new tokens of people take the places of the old ones, which the control node forgets."""
    new = _pending(state)["new"]
    for role in PEOPLE:
        _put(state, role, new[role])
    _write_access(state)


def finish(state: State) -> None:
    """From now on the old tokens are wrong."""
    pending_file(state).unlink(missing_ok=True)


def is_pending(state: State) -> bool:
    """Whether a rotation was begun and not finished."""
    return pending_file(state).exists()


class HostTokens:
    """The tokens that the Server Manager takes; files are read again when they have changed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._stamps: list[tuple[int, int] | None] | None = None
        self._known: Hashes = {}

    def __call__(self) -> Hashes:
        """The tokens in force.

        Raises:
            AccessUnknown: a file cannot be read.
        """
        files = [*(path(self._state, role) for role in FILES), pending_file(self._state)]
        stamps = [_stamp(file) for file in files]
        if stamps != self._stamps:
            try:
                self._known = accepted(self._state)
            except (OSError, ValueError, ClusterOpsError) as error:
                raise AccessUnknown("the cluster's tokens cannot be read") from error
            self._stamps = stamps
        return self._known


def accepted(state: State, *, old: bool = True) -> dict[str, list[str]]:
    """Hashes of the tokens that are right now, by role."""
    known: dict[str, list[str]] = {}
    pending = _pending(state) if is_pending(state) else {}
    for role in FILES:
        tokens = {_read(state, role)} if path(state, role).exists() else set()
        tokens |= {pending[age][role] for age in ("new", "old") if age in pending}
        if pending and not old:
            tokens.discard(pending["old"][role])
        known[role] = sorted(digest(token) for token in tokens if token)
    return known


def _write_access(state: State) -> None:
    promoted = is_pending(state) and all(
        _read(state, role) == _pending(state)["new"][role] for role in PEOPLE
    )
    known = accepted(state, old=not promoted)
    text = json.dumps({role: known[role] for role in PEOPLE}, indent=2) + "\n"
    _write_changed(access_file(state), text)


def _put(state: State, role: str, token: str) -> None:
    _write_changed(path(state, role), token + "\n")


def _write_changed(file: Path, text: str) -> None:
    try:
        if file.read_text(encoding="ascii") == text:
            return
    except FileNotFoundError:
        pass
    write_private(file, text)


def _read(state: State, role: str) -> str:
    return path(state, role).read_text(encoding="ascii").strip()


def _pending(state: State) -> dict[str, Tokens]:
    """Old and new tokens of a rotation under way.

    Raises:
        ClusterOpsError: the file is damaged.
    """
    try:
        change = json.loads(pending_file(state).read_text(encoding="ascii"))
        return {age: {role: str(change[age][role]) for role in FILES} for age in ("old", "new")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterOpsError(
            f"{pending_file(state)}: not a readable change of tokens",
            remedy="remove it, then ./playground up",
        ) from error


def _new() -> str:
    return secrets.token_hex(32)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def main(arguments: list[str] | None = None) -> int:
    """Put the new tokens of people in force on the host: step 3, for a playbook."""
    parser = argparse.ArgumentParser(prog="python -m clusterops.tokens")
    parser.add_argument("--state-dir", type=Path, required=True, help="the cluster's .playground")
    root = parser.parse_args(arguments).state_dir
    try:
        promote(State(root=root, cluster_file=root.parent / "cluster.yml"))
    except ClusterOpsError as error:
        print(f"tokens: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
