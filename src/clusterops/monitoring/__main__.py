# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m clusterops.monitoring``: write the dashboards, and the table in the docs, anew."""

from __future__ import annotations

import sys
from pathlib import Path

from clusterops.monitoring import catalogue, dashboards
from clusterops.state import project_root

FOLDER = Path("dashboards/grafana")
DOCUMENT = Path("docs/monitoring.md")
BEGIN, END = "<!-- metrics: python -m clusterops.monitoring -->\n", "<!-- end of metrics -->\n"


def with_table(text: str) -> str:
    """The document with the table as it should be now."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{catalogue.table()}\n{END}{tail}"


def main() -> int:
    """Write what differs."""
    root = project_root()
    wanted = {root / FOLDER / name: text for name, text in dashboards.files().items()}
    document = root / DOCUMENT
    wanted[document] = with_table(document.read_text(encoding="utf-8"))
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
