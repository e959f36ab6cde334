# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a cluster up and taking it down: the order of the stages, and each stage's work."""
