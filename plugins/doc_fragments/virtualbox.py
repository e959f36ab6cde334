# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options by which the modules reach VirtualBox."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
requirements:
  - VirtualBox 7.0 or newer, and Python 3.11 or newer, on the computer whose machines these are
options:
  timeout_s:
    description: Longest time for one call of VirtualBox, its retries included, in seconds.
    type: float
    default: 300
  executable:
    description:
      - Path of C(VBoxManage). By default C(/usr/lib/virtualbox/VBoxManage), else the one in
        E(PATH).
    type: path
"""
