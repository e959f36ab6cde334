# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything this application raises on purpose."""


class FibonacciError(Exception):
    """The root: its text is one line for a person, without secrets."""


class SettingsError(FibonacciError):
    """The environment does not hold what the process needs."""


class StoreUnavailableError(FibonacciError):
    """PostgreSQL did not answer, or not in time."""


class QueueUnavailableError(FibonacciError):
    """Redis did not answer, or not in time."""


class MigrationError(FibonacciError):
    """A migration is missing, was changed after it ran, or failed."""


class IndexRejectedError(FibonacciError):
    """An index is not a plain decimal integer within the limits."""
