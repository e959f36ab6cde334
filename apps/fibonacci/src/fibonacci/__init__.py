# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP API, a queue and a worker that compute Fibonacci numbers."""

__version__ = "1.0.0"
