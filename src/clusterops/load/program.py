# SPDX-License-Identifier: GPL-3.0-or-later
"""How the load generators talk to whoever started them, and how they end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from clusterops.errors import ClusterOpsError

LAST_S = 0.5
"""A second's line that would come so shortly before a run's end waits for it: the last line has the
answers that were under way then, so that all lines together have all requests."""


def say(line: dict[str, Any]) -> None:
    """One line of JSON, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def exit_code_of(work: Callable[[list[str]], None]) -> int:
    """Do the work with the command line's arguments; what is wrong with them is one line."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    try:
        work(sys.argv[1:])
    except ClusterOpsError as error:
        print(error.message, file=sys.stderr)
        return int(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0
