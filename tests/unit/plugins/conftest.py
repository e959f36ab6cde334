# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `ansible_collections.clusterops.playground` importable, as Ansible itself does."""

from __future__ import annotations

from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

COLLECTIONS = Path(__file__).resolve().parents[3] / "collections"

_AnsibleCollectionFinder(paths=[str(COLLECTIONS)])._install()
