# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: the systems that the roles support."""

from __future__ import annotations

DOCUMENTATION = r"""
name: supported_systems
short_description: The systems that the roles of this collection support
version_added: 0.1.0
description:
  - For programs of roles that look at the node themselves; P(clusterops.playground.packages#module)
    refuses all others without being told.
author:
  - Cluster Operations Playground contributors (@clusterops)
options: {}
"""

EXAMPLES = r"""
- name: Say where the roles run
  ansible.builtin.debug:
    msg: "{{ query('clusterops.playground.supported_systems') }}"
"""

RETURN = r"""
_raw:
  description: C(ID-VERSION_ID) of their os-release(5).
  type: list
  elements: str
  sample: [debian-13]
"""

from ansible.plugins.lookup import LookupBase
from ansible_collections.clusterops.playground.plugins.module_utils._packages import SUPPORTED


class LookupModule(LookupBase):
    """Takes nothing, gives the systems."""

    def run(self, terms, variables=None, **kwargs):
        return list(SUPPORTED)
