# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.clusterops.playground.plugins.plugin_utils._light import LightAction


class ActionModule(LightAction):
    """The module postgres_access, which is not started where everybody has what they should."""

    PARTS = ("_postgres_access",)

    def unchanged(self, answer: dict[str, t.Any]) -> dict[str, t.Any] | None:
        return {"changed": False, "changes": []} if answer.get("done") else None
