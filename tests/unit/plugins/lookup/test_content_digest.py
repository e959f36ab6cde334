# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.clusterops.playground.plugins.lookup.content_digest import LookupModule


def digest(*paths: Path) -> str:
    (answer,) = LookupModule().run([str(path) for path in paths])
    assert isinstance(answer, str) and len(answer) == 64
    return answer


def role(folder: Path, text: str = "- a\n") -> Path:
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks/main.yml").write_text(text)
    (folder / "README.md").write_text("# A role\n")
    return folder


def test_a_copy_elsewhere_has_the_same_digest(tmp_path: Path) -> None:
    one, other = role(tmp_path / "one"), role(tmp_path / "deep/er/other")
    os.utime(other / "README.md", (1, 1))
    (other / "tasks/main.yml").chmod(0o600)
    (other / "__pycache__").mkdir()
    (other / "__pycache__/x.pyc").write_bytes(b"x")
    (tmp_path / "link").symlink_to(one)
    assert digest(one) == digest(other) == digest(tmp_path / "link")


def test_every_change_changes_it(tmp_path: Path) -> None:
    folder = role(tmp_path / "role")
    seen = {digest(folder)}
    (folder / "tasks/main.yml").write_text("- b\n")
    seen.add(digest(folder))
    (folder / "README.md").rename(folder / "README")
    seen.add(digest(folder))
    (folder / "new").write_text("")
    seen.add(digest(folder))
    (folder / "new").unlink()
    (folder / "README").unlink()
    seen.add(digest(folder))
    seen.add(digest(folder / "tasks/main.yml"))
    seen.add(digest(folder, folder))
    assert len(seen) == 7


def test_a_path_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match="gone is missing"):
        digest(tmp_path / "gone")


def test_compiled_files_are_no_content(tmp_path: Path) -> None:
    folder = role(tmp_path / "role")
    before = digest(folder)
    (folder / "tasks/main.pyc").write_bytes(b"x")
    assert digest(folder) == before
