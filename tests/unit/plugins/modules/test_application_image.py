# SPDX-License-Identifier: GPL-3.0-or-later
"""An image is built once, from the archive, and told apart by its digest."""

from __future__ import annotations

import http.client
import io
import json
import tarfile
import urllib.error
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
        self.images: set[str] = set()
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
            return (0 if argv[3] in self.images else 1), "", ""
        return 0, "", ""

    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def digest(self, registry: str, repository: str, tag: str) -> str | None:
        return DIGEST if f"{registry}/{repository}:{tag}" in self.registry else None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(module, "Commands", lambda _: fake)
    monkeypatch.setattr(module, "registry_digest", fake.digest)
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
    assert engine.verbs() == ["build", "push"]
    assert engine.sources == ["Dockerfile", "main.py"]


def test_check_mode_looks_and_does_nothing(engine: FakeEngine, run: Any) -> None:
    result = run(check_mode=True)
    assert (result["changed"], result["built"], result["image"]) == (True, False, "")
    assert engine.calls == []
    engine.registry.add("10.0.0.10:5001/apps/shop:t1")
    result = run(check_mode=True)
    assert (result["changed"], result["image"]) == (False, REFERENCE)


@pytest.mark.parametrize(
    ("there", "verbs"),
    [(False, ["image", "load", "build", "push"]), (True, ["image", "build", "push"])],
)
def test_a_base_image_is_loaded_only_when_it_is_missing(
    engine: FakeEngine, run: Any, there: bool, verbs: list[str]
) -> None:
    if there:
        engine.images.add("base:1")
    run(base_image="base:1", base_archive="/builds/base.tar")
    assert engine.verbs() == verbs


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
    monkeypatch.setattr(module, "registry_digest", lambda *_: None)
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


class Answer:
    headers = {"Docker-Content-Digest": DIGEST}  # noqa: RUF012 - never changed

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("u", status, "no", {}, None)  # type: ignore[arg-type]


def ask_registry(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> str | None:
    class Opener:
        def open(self, request: Any, timeout: float) -> Any:
            assert request.get_method() == "HEAD"
            assert request.full_url == "http://10.0.0.10:5001/v2/apps/shop/manifests/t1"
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(module.urllib.request, "build_opener", lambda *_: Opener())
    digest: str | None = module.registry_digest("10.0.0.10:5001", "apps/shop", "t1")
    return digest


def test_what_the_registry_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_registry(monkeypatch, Answer()) == DIGEST
    assert ask_registry(monkeypatch, http_error(404)) is None


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (http_error(500), "answered 500"),
        (ConnectionRefusedError(111, "refused"), "cannot be reached"),
        (http.client.BadStatusLine("x"), "cannot be reached"),
    ],
)
def test_a_registry_in_trouble_is_not_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, outcome: Exception, message: str
) -> None:
    with pytest.raises(CommandFailed, match=message):
        ask_registry(monkeypatch, outcome)
