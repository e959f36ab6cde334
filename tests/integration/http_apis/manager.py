# SPDX-License-Identifier: GPL-3.0-or-later
"""The Server Manager, whose jobs are a short sleep: a playbook needs machines that are real."""

from __future__ import annotations

import sys
from typing import Any

from clusterops.server_manager import __main__ as server_manager
from clusterops.server_manager import job_processes


class Jobs(job_processes.Jobs):
    def __init__(self, *given: Any) -> None:
        # One that is told to end, and one that has to be made to.
        ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
        program = f"{ignore}; import time; print('working', flush=True); time.sleep(60)"
        quick = "import time; print('working', flush=True); time.sleep(60)"
        super().__init__(
            *given,
            command=lambda request, progress: [
                sys.executable, "-c", program if request.kind == "rollback" else quick,
            ],
        )  # fmt: skip


if __name__ == "__main__":
    job_processes.Jobs = Jobs  # type: ignore[misc]
    sys.exit(server_manager.main())
