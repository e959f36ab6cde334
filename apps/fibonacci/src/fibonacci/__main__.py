# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point: ``python -m fibonacci api|worker|migrate``."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fibonacci.errors import FibonacciError, SettingsError
from fibonacci.logs import configure_logging
from fibonacci.settings import load_settings

_NEEDED = {
    "api": ("POSTGRES_URL", "REDIS_URL"),
    "worker": ("REDIS_URL",),
    "migrate": ("POSTGRES_URL",),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one role. Exit codes: 0 done, 1 failed, 2 wrong usage or environment."""
    role, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["api"]
    if role not in _NEEDED:
        _fail(f"unknown role {role!r} (expected one of {', '.join(_NEEDED)})", 2)
    try:
        settings = load_settings(os.environ, _NEEDED[role])
        configure_logging(f"fibonacci-{role}", settings.log_level)
        # Imported late: the worker needs no HTTP server, which is a third of the memory.
        if role == "api":
            from fibonacci import server

            server.serve(settings)
        elif role == "worker":
            from fibonacci import healthcheck, worker

            asyncio.run(worker.serve(settings, alive_file=Path(healthcheck.ALIVE_FILE)))
        else:
            from fibonacci import migrate

            migrate.run(rest, settings.postgres_url)
    except SettingsError as error:
        _fail(str(error), 2)
    except FibonacciError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(message: str, code: int) -> NoReturn:
    print(f"fibonacci: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
