# SPDX-License-Identifier: GPL-3.0-or-later
"""An image is built once, from the archive, and told apart by its digest."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.clusterops.playground.plugins.module_utils._commands import CommandFailed
from ansible_collections.clusterops.playground.plugins.modules import application_image as module

DIGEST = "sha256:8d6f"
REFERENCE = f"10.0.0.10:5001/apps/shop@{DIGEST}"


class FakeEngine:
    """A container engine and a registry; stands for Commands."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.registry: set[str] = set()
        self.calls: list[list[str]] = []
        self.sources: list[str] = []
        self.failure: str | None = None

    def run(self, *argv: str, check: bool = True, **environment: str) -> tuple[int, str, str]:
        self.calls.append(list(argv[1:]))
        if argv[1] == "build":
            if self.failure:
                raise CommandFailed(self.failure)
            assert environment == {"DOCKER_BUILDKIT": "1"}
            self.sources = sorted(path.name for path in Path(argv[-1]).iterdir())
        elif argv[1] == "push":
            self.registry.add(argv[-1])
        elif argv[1:3] == ("image", "inspect"):
            return (0 if argv[4] in self.images else 1), self.images.get(argv[4], "") + "\n", ""
        return 0, "", ""

    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def digest(self, repository: str, tag: str) -> str | None:
        return DIGEST if f"10.0.0.10:5001/{repository}:{tag}" in self.registry else None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(module, "Commands", lambda _: fake)
    monkeypatch.setattr(module.Registry, "digest", lambda _, *names: fake.digest(*names))
    return fake


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "shop.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("Dockerfile", "main.py"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


@pytest.fixture
def run(archive: Path, capsys: Any) -> Any:
    def call(check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        arguments = {
            "name": "shop", "tag": "t1", "registry": "10.0.0.10:5001", "archive": str(archive),
            "_ansible_check_mode": check_mode, **changes,
        }  # fmt: skip
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    assert basic  # the module reads its arguments through it
    return call


def test_it_is_built_once(engine: FakeEngine, run: Any) -> None:
    first, second = run(), run()
    assert (first["changed"], first["built"], first["image"]) == (True, True, REFERENCE)
    assert (second["changed"], second["built"], second["image"]) == (False, False, REFERENCE)
    assert engine.verbs() == ["build", "push", "rmi", "builder"]
    assert engine.sources == ["Dockerfile", "main.py"]


def test_check_mode_looks_and_does_nothing(engine: FakeEngine, run: Any) -> None:
    result = run(check_mode=True)
    assert (result["changed"], result["built"], result["image"]) == (True, False, "")
    assert engine.calls == []
    engine.registry.add("10.0.0.10:5001/apps/shop:t1")
    result = run(check_mode=True)
    assert (result["changed"], result["image"]) == (False, REFERENCE)


@pytest.fixture
def base(tmp_path: Path) -> str:
    path = tmp_path / "base.tar"
    manifest = json.dumps([{"Config": "ab12.json", "RepoTags": ["base:1"]}]).encode()
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    return str(path)


@pytest.mark.parametrize(
    ("there", "loaded"), [(None, True), ("sha256:older", True), ("sha256:ab12", False)]
)
def test_a_base_image_is_loaded_unless_the_same_is_there(
    engine: FakeEngine, run: Any, base: str, there: str | None, loaded: bool
) -> None:
    if there:
        engine.images["base:1"] = there
    run(base_image="base:1", base_archive=base)
    before_build = engine.verbs()[: engine.verbs().index("build")]
    assert before_build == ["image", "load"] if loaded else ["image"]


@pytest.mark.parametrize(
    ("config", "found"),
    [('[{"Config": "blobs/sha256/ab12"}]', "sha256:ab12"), ("[]", None), ("no JSON", None)],
)
def test_the_id_of_an_archived_image(tmp_path: Path, config: str, found: str | None) -> None:
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(config)
        tar.addfile(info, io.BytesIO(config.encode()))
    assert module.archived_image_id(str(path)) == found


def test_a_base_image_needs_its_archive(engine: FakeEngine, run: Any) -> None:
    assert "base_archive" in run(base_image="base:1")["msg"]


def test_a_failed_build_is_one_line_and_nothing_is_pushed(engine: FakeEngine, run: Any) -> None:
    engine.failure = "'docker build' failed with exit code 1: no space left"
    result = run()
    assert result["failed"] is True
    assert result["msg"] == f"image of application shop: {engine.failure}"
    assert "push" not in engine.verbs()


def test_a_registry_that_forgets_is_reported(
    engine: FakeEngine, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Registry, "digest", lambda *_: None)
    assert "does not have 10.0.0.10:5001/apps/shop:t1 after the push" in run()["msg"]


def test_an_archive_that_leaves_its_folder_is_refused(
    engine: FakeEngine, run: Any, archive: Path
) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../outside"), io.BytesIO())
    assert run()["failed"] is True
    assert engine.verbs() == []


def test_an_archive_that_is_none(engine: FakeEngine, run: Any, archive: Path) -> None:
    archive.write_text("text")
    assert run()["msg"].startswith("image of application shop: ")
    archive.unlink()
    assert run()["failed"] is True


def test_the_command_of_a_build(tmp_path: Path) -> None:
    secret = tmp_path / "pip.conf"
    secret.write_text("")
    params = {
        "dockerfile": "deploy/Dockerfile",
        "context": "app",
        "build_args": {"B": "2", "A": "1"},
        "build_secrets": {"pip_conf": str(secret), "ca": str(tmp_path / "missing")},
    }
    assert module.build_command(params, "/src", "image:1") == [
        "docker",
        "build",
        "--network=host",
        "--progress=plain",
        "--tag=image:1",
        "--file=/src/deploy/Dockerfile",
        "--build-arg=A=1",
        "--build-arg=B=2",
        f"--secret=id=pip_conf,src={secret}",
        "/src/app",
    ]
