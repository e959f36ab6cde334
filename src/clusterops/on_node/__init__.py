# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the command line sends to nodes and runs there: standard library only.

They come through ssh's standard input, so nothing has to be installed on a node and nothing is
left on it. A program ends when its standard input does: a reader that is gone, whatever ended
it, leaves no process behind.
"""
