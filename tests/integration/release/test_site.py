# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's site: whole, on its own, and refused where a link leads nowhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """\
INHERIT: {root}/mkdocs.yml
docs_dir: {folder}/docs
site_dir: {folder}/site
hooks: [{root}/src/clusterops/docs/site.py]
"""


def _build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of the pages in ``folder``/docs, as `./playground test lint` does."""
    (folder / "mkdocs.yml").write_text(CONFIG.format(root=ROOT, folder=folder))
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "mkdocs.yml"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def test_the_site_is_built_and_needs_nothing_from_elsewhere(pages: Path) -> None:
    done = _build(pages)
    assert done.returncode == 0, done.stderr
    built = sorted((pages / "site").rglob("*.html"))
    assert len(built) > 60
    for page in built:
        text = page.read_text("utf-8")
        assert re.findall(r'(?:src|srcset)="(?:https?:)?//[^"]*"', text) == [], page.name
        assert re.findall(r'<link [^>]*href="(?:https?:)?//[^"]*"', text) == [], page.name


def test_links_and_pages_that_lead_nowhere_fail_the_build(pages: Path) -> None:
    """One build for all: each takes seconds."""
    wrong = ["missing.md", "scaling.md#no-such-heading", "reference/missing.md"]
    with (pages / "docs/index.md").open("a") as page:
        page.writelines(f"\n[x]({target})\n" for target in wrong)
    (pages / "docs/orphan.md").write_text("# Orphan\n")
    done = _build(pages)
    assert done.returncode != 0
    for named in ("missing.md", "no-such-heading", "reference/missing.md", "orphan.md"):
        assert named in done.stderr, done.stderr
