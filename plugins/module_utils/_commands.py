# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External programs for modules: one way to run them, one form of error."""

from __future__ import annotations


class CommandFailed(Exception):
    """A program failed; the message is one line with the command, exit code and last words."""


def describe_failure(argv: list[str], code: int, stdout: str, stderr: str) -> str:
    """One line that says which command failed and why; argv holds no secrets by rule."""
    words = [line.strip() for line in (stderr or stdout).splitlines() if line.strip()]
    reason = next((line for line in reversed(words) if "rror" in line), words[-1] if words else "")
    return f"'{' '.join(argv[:4])}' failed with exit code {code}: {reason[:600]}"


class PlainCommands:
    """Runs programs where there is no AnsibleModule (plugin_utils/_light.py)."""

    def run(self, *argv: str, check: bool = True, cwd: str | None = None, **environment: str):
        """As :class:`Commands`."""
        import os
        import subprocess

        done = subprocess.run(  # noqa: S603
            argv,
            check=False,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        if check and done.returncode != 0:
            raise CommandFailed(
                describe_failure(list(argv), done.returncode, done.stdout, done.stderr)
            )
        return done.returncode, done.stdout, done.stderr


class Commands:
    """Runs programs through an AnsibleModule, so that they obey its locale and temp folder."""

    def __init__(self, module) -> None:
        self._module = module

    def run(self, *argv: str, check: bool = True, cwd: str | None = None, **environment: str):
        """Run a program; returns (exit code, stdout, stderr).

        Raises:
            CommandFailed: ``check`` is set and the program failed.
        """
        code, stdout, stderr = self._module.run_command(
            list(argv), cwd=cwd, environ_update=environment, check_rc=False
        )
        if check and code != 0:
            raise CommandFailed(describe_failure(list(argv), code, stdout, stderr))
        return code, stdout, stderr
