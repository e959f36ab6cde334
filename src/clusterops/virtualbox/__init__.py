# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox as the playground uses it.

The files that begin with ``_vboxmanage`` are those of the collection's ``plugins/module_utils``,
linked: one client, whether a module calls it or the Server Manager.
"""

from __future__ import annotations

OLDEST = (7, 0, 0)
"""The oldest version of VirtualBox that the playground works with."""
