# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.clusterops.playground.plugins.plugin_utils._light import LightAction


class ActionModule(LightAction):
    """The module service_files, which is only started where something is to be done."""

    PARTS = ("_node_files", "_units", "_service_files")

    def unchanged(self, answer: dict[str, t.Any]) -> dict[str, t.Any] | None:
        if not answer.get("done"):
            return None
        return {"changed": False, "written": [], "stale": [], "unlike": [], "diff": []}
