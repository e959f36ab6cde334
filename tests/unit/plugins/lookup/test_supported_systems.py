# SPDX-License-Identifier: GPL-3.0-or-later
"""The systems that plays may ask for are those that the roles take."""

from __future__ import annotations

from ansible_collections.clusterops.playground.plugins.lookup.supported_systems import LookupModule
from ansible_collections.clusterops.playground.plugins.module_utils._packages import system_of


def test_each_system_is_one_that_roles_take() -> None:
    systems = LookupModule().run([])
    assert "debian-13" in systems
    for system in systems:
        name, _, version = system.partition("-")
        assert system_of(f'ID={name}\nVERSION_ID="{version}"\n', {}) == system
