# Copyright: Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup: one digest of the content of files and folders."""

from __future__ import annotations

DOCUMENTATION = r"""
name: content_digest
short_description: One digest of the content of files and folders
version_added: 0.1.0
description:
  - Changes when a file below any of the paths changes, comes, goes, or gets another name.
  - Times, owners, modes and where the folders lie make no difference, so that a checkout and
    an installed copy have the same digest.
  - Symbolic links are followed. Folders named C(__pycache__) and files that end with C(.pyc) are
    left out.
author:
  - Cluster Operations Playground contributors (@clusterops)
options:
  _terms:
    description: Files and folders on the controller.
    required: true
    type: list
    elements: path
"""

EXAMPLES = r"""
- name: Say which version of two roles this is
  ansible.builtin.debug:
    msg: "{{ lookup('clusterops.playground.content_digest', 'roles/base', 'roles/metrics_api') }}"
"""

RETURN = r"""
_raw:
  description: The SHA-256 digest, in hexadecimal.
  type: list
  elements: str
"""

import hashlib
import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


def files_below(path: str) -> list[tuple[str, str]]:
    """Name below the path, and where it is; a file has its own name."""
    if os.path.isfile(path):
        return [(os.path.basename(path), path)]
    found = []
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if not name.endswith(".pyc"):
                where = os.path.join(folder, name)
                found.append((os.path.relpath(where, path), where))
    return sorted(found)


def content_digest(paths: list[str]) -> str:
    """The digest of everything below the paths. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} is missing")
        for name, where in files_below(path):
            with open(where, "rb") as file:
                content = file.read()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list, variables: dict | None = None, **kwargs) -> list[str]:
        try:
            return [content_digest([str(term) for term in terms])]
        except OSError as error:
            raise AnsibleLookupError(f"content_digest: {error}") from error
