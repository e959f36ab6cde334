# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured logs: one JSON object per line on stdout."""

import contextvars
import json
import logging
import sys
import time
from typing import Any

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)


class JsonFormatter(logging.Formatter):
    """Formats a record; ``extra={"fields": {...}}`` becomes further keys."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            entry["request_id"] = current
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class NotAgain(logging.Filter):
    """Drops a message that was the logger's last one less than *seconds* ago."""

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: tuple[str, float] = ("", 0.0)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep the record."""
        message, at = self._last
        current = record.getMessage()
        if current == message and record.created - at < self._seconds:
            return False
        self._last = (current, record.created)
        return True


def configure_logging(service: str, level: str) -> None:
    """Send every logger of the process to stdout as JSON, from *level* on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Nobody reads these fields; looking them up costs a few microseconds per record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Says why it cannot connect, with every attempt. (Filters do not inherit: this very logger.)
    pool = logging.getLogger("psycopg.pool")
    pool.setLevel(logging.WARNING)
    pool.addFilter(NotAgain())
