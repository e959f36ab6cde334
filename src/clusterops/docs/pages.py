# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pages are made, and from what."""

from __future__ import annotations

from pathlib import Path

from clusterops.docs import apis, cli, collection, schemas
from clusterops.docs.markdown import table

FOLDER = "reference"


def reference(root: Path) -> dict[str, str]:
    """Every page of the reference: its address below docs/ -> Markdown."""
    made = {
        "cli.md": cli.page(),
        "cluster_yml.md": schemas.cluster_page(),
        "app_yml.md": schemas.app_page(),
        "roles/index.md": collection.roles_page(root),
        "plugins/index.md": collection.plugins_page(root),
    }
    for name in collection.roles(root):
        made[f"roles/{name}.md"] = collection.role_page(root, name)
    for kind, path in collection.plugins(root):
        address = f"plugins/{collection.link_name(kind, path)}.md"
        made[address] = collection.plugin_page(root, kind, path)
    documents = apis.documents()
    for name, document in documents.items():
        made[f"apis/{name}.md"] = apis.page(name, document)
    rows = [[f"[{doc['info']['title']}]({name}.md)", apis.WHERE[name]]
            for name, doc in documents.items()]  # fmt: skip
    made["apis/index.md"] = "# HTTP APIs\n\n" + table(["", "where"], rows)
    return {f"{FOLDER}/{address}": text for address, text in made.items()}
