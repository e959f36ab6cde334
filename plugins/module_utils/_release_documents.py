# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of an application's releases: one file for each, and a copy of the one in force."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.clusterops.playground.plugins.module_utils._node_files import (
    FileRefused,
    NodeFile,
    is_as_wanted,
    read,
)

Document = dict[str, t.Any]


class DocumentMissing(Exception):
    """A release has no document that can be read; one line with its path, without what is in it."""


class Plan(t.NamedTuple):
    """What the folder should be: files to have, documents to remove, what to tell."""

    files: list[NodeFile]
    removed: list[str]
    result: Document


def load(path: str) -> Document | None:
    """A document; None where there is none, or half of one."""
    try:
        found = json.loads(read(path) or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def text_of(document: Document) -> str:
    """As it is written."""
    return json.dumps(document, indent=4, sort_keys=True)


def with_history(document: Document, known: Document | None) -> Document:
    """The document with what an earlier one says: whether the release migrated, its forerunner."""
    known = known or {}
    return {
        **document,
        "migrated": known.get("migrated", False),
        "previous": known.get("previous"),
    }


def promoted(candidate: Document, in_force: Document | None, rolls_back: bool) -> Document:
    """The candidate with the release that was in force before it.

    A release that comes back keeps its own forerunner, so that one can go back further.
    """
    before = in_force or {}
    if before.get("release") == candidate["release"]:
        previous = before.get("previous")
    elif rolls_back:
        previous = candidate.get("previous")
    else:
        previous = before.get("release")
    return {**candidate, "previous": previous}


def without_values(document: Document) -> Document:
    """What may be told of a release in force."""
    return {
        "name": document["application"]["name"],
        "release": document["release"],
        "location": document.get("location") or "",
        "commit": document.get("commit"),
        "previous": document["previous"],
    }


def by_need(newest_first: list[str], first: list[str]) -> list[str]:
    """Paths with those first that have to be kept: an old release may be in force again."""
    needed = [path for path in first if path in newest_first]
    return needed + [path for path in newest_first if path not in needed]


def plan_present(params: Document) -> Plan:
    """The folder, and the document of one release in it."""
    given = params["document"]
    new = json.loads(given) if isinstance(given, str) else given
    path = os.path.join(params["folder"], f"{new['release']}.json")
    document = with_history(new, load(path))
    folder = NodeFile(params["folder"], group=params["group"], mode=0o750)
    return Plan([folder, _file(params, path, document)], [], {"path": path})


def plan_in_force(params: Document) -> Plan:
    """The release at ``path`` is in force; documents of the oldest others go.

    Raises:
        DocumentMissing: there is no such release.
    """
    path, in_force_path = params["path"], params["in_force"]
    candidate = load(path)
    if candidate is None:
        raise DocumentMissing(f"{path} is not the document of a release")
    document = promoted(candidate, load(in_force_path), bool(params.get("rolls_back")))
    files = [_file(params, place, document) for place in (path, in_force_path)]
    others = [
        os.path.join(params["folder"], name)
        for name in os.listdir(params["folder"])
        if name.endswith(".json")
    ]
    newest_first = sorted({*others, path}, key=_changed, reverse=True)
    before = os.path.join(params["folder"], f"{document['previous'] or '-'}.json")
    documents = by_need(newest_first, [path, before])
    kept, removed = documents[: params["keep"]], documents[params["keep"] :]
    images = {load(one).get("image") for one in kept if load(one)} | {document["image"]}  # type: ignore[union-attr]
    result = {"release": without_values(document), "images": sorted(filter(None, images))}
    return Plan(files, removed, result)


def _file(params: Document, path: str, document: Document) -> NodeFile:
    return NodeFile(path, text_of(document), group=params["group"], mode=0o640)


def _changed(path: str) -> float:
    return os.stat(path).st_mtime


def plan(params: Document) -> Plan:
    """Raises DocumentMissing, or OSError where the folder cannot be read."""
    return plan_present(params) if params["state"] == "present" else plan_in_force(params)


def look(arguments: Document) -> Document:
    """What the module release_documents would tell, where it would have nothing to do."""
    params = {"state": "present", "group": "root", "keep": 5, **arguments}
    try:
        wanted = plan(params)
        done = not wanted.removed and all(map(is_as_wanted, wanted.files))
    except (DocumentMissing, FileRefused, OSError, KeyError, TypeError, ValueError):
        done = False
    return wanted.result if done else {}
