# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.clusterops.playground.plugins.plugin_utils._light import LightAction


class ActionModule(LightAction):
    """The module application_image, which is not started where the registry has the image."""

    PARTS = ("_registry",)
    LOOK = "look_for_image"

    def unchanged(self, answer: dict[str, t.Any]) -> dict[str, t.Any] | None:
        if "image" not in answer:
            return None
        return {"changed": False, "built": False, "image": answer["image"]}
