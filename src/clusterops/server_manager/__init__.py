# SPDX-License-Identifier: GPL-3.0-or-later
"""Server Manager API: the one thing that creates, starts, stops and lists machines."""
