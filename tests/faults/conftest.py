# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster of the end-to-end tests, taken down when these have ended."""

from __future__ import annotations

from tests.e2e.conftest import cluster

__all__ = ["cluster"]
