# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.clusterops.playground.plugins.plugin_utils._light import LightAction


class ActionModule(LightAction):
    """The module load_balancer_agent, which is not started where the pool is as it should be."""

    PARTS = ("_load_balancer",)

    def unchanged(self, answer: dict[str, t.Any]) -> dict[str, t.Any] | None:
        if "agent" not in answer:
            return None
        agent = answer["agent"] or {}
        diff = {"before": agent, "after": agent}
        return {"changed": False, "drained_s": 0.0, "diff": diff, **answer}
