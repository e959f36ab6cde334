# SPDX-License-Identifier: GPL-3.0-or-later
"""Cluster Operations Playground: a self-scaling, production-like cluster on one machine."""

__version__ = "0.1.0"
