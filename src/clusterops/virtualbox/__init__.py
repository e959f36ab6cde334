# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualBox as the playground uses it.

The files that begin with ``_vboxmanage`` are those of the collection's ``plugins/module_utils``,
linked: one client, whether a module calls it or the Server Manager.
"""
