# SPDX-License-Identifier: GPL-3.0-or-later
"""What MkDocs calls while it builds the site: see ``hooks`` in mkdocs.yml."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any

from mkdocs.structure.files import File, Files

from clusterops.docs.pages import reference
from clusterops.state import project_root

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


_DIAGRAM = re.compile(r"^!\[[^\]]*\]\((images/[\w-]+\.svg)\)$", re.MULTILINE)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the reference, which no file holds, to the pages and to the navigation."""
    made = reference(project_root())
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    for part in config.nav:
        for entry in part.get("Reference", []):
            if isinstance(entry, dict):
                [pages] = entry.values()
                folder = posixpath.dirname(pages[0])
                pages += sorted({*_below(folder, made)} - {*pages})
    return files


def _below(folder: str, addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if posixpath.dirname(address) == folder]


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Links to the rest of the repository: a role's lead to its page, others become its path.

    What they name exists: tests/unit/test_documentation.py looks at each.
    """
    docs = project_root() / "docs"
    drawn = _DIAGRAM.sub(
        # Within the page a drawing has the colours of the theme that is chosen.
        lambda match: f"<div>{(docs / match[1]).read_text('utf-8')}</div>",
        markdown,
    )
    return rewritten(drawn, page.file.src_uri)


def rewritten(markdown: str, address: str) -> str:
    """The text of a page at ``address`` (below docs/) with links that lead out of docs/ changed."""
    # A role's page is made from its README, whose links start at its folder.
    role = re.fullmatch(r"reference/roles/(\w+)\.md", address)
    base = f"roles/{role[1]}" if role else posixpath.dirname(f"docs/{address}")
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if part.startswith("```") else _LINK.sub(lambda m: _link(m, base, address), part)
        for part in parts
    )


def _link(match: re.Match[str], base: str, address: str) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    if re.match(r"\w+:", target):
        return match[0]
    path = posixpath.normpath(posixpath.join(base, target))
    if role := re.fullmatch(r"roles/(\w+)(?:/README\.md)?", path):
        path = f"docs/reference/roles/{role[1]}.md"
    if path.startswith("docs/"):
        here = posixpath.dirname(address)
        return f"[{text}]({posixpath.relpath(path.removeprefix('docs/'), here or '.')}{anchor})"
    if (project_root() / path).is_dir():
        path += "/"
    return f"`{path}`" if text.strip("`") == path.rstrip("/") else f"{text} (`{path}`)"
