# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: what was recorded, as one page to keep, print or hand in."""
