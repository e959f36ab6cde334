# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics API of a node: its own CPU, memory, disk and load, over HTTP.

Standard library only, and of that only what is small: this process runs on every node. That is
why there is no asyncio in here (8 MB more) and no dataclasses.
"""
