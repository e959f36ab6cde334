# SPDX-License-Identifier: GPL-3.0-or-later
"""What the HTTP APIs of the host and of the control node share: tokens, limits, audit, TLS."""
