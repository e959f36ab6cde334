# SPDX-License-Identifier: GPL-3.0-or-later
"""Scaling policies tried on a load over time, without machines and in virtual time."""
