# SPDX-License-Identifier: GPL-3.0-or-later
"""Provider drivers, found through the entry points ``clusterops.providers``."""
