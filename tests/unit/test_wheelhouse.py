"""Preparing wheels, with a fake of the commands that build and download."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from clusterops import wheelhouse
from clusterops.errors import ClusterOpsError, CommandError

PYPROJECT = '[tool.hatch.build.targets.wheel]\npackages = ["src/clusterops"]\n'


class FakeCommands:
    """Makes the files that hatchling and pip would make."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.commands: list[list[str]] = []
        self.wheels = {"a-1-py3-none-any.whl": b"a", "b-2-py3-none-any.whl": b"b"}
        self.failure: CommandError | None = None

    def __call__(self, command: Sequence[str], folder: Path) -> None:
        self.commands.append(list(command))
        self.calls.append(command[2])
        if self.failure:
            raise self.failure
        if command[2] == "hatchling":
            target = Path(command[command.index("-d") + 1])
            source = (folder / "src/clusterops/x.py").read_bytes()
            (target / "clusterops-0.1.0-py3-none-any.whl").write_bytes(source)
        else:
            target = Path(next(a for a in command if a.startswith("--dest=")).partition("=")[2])
            for name, content in self.wheels.items():
                (target / name).write_bytes(content)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src/clusterops/__pycache__").mkdir(parents=True)
    (root / "requirements").mkdir()
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "src/clusterops/x.py").write_text("x = 1\n")
    (root / "requirements/node.txt").write_text("a==1\nb==2\n")
    return root


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "wheels"


def test_the_folder_holds_what_it_says(project: Path, dest: Path) -> None:
    result = wheelhouse.prepare(project, dest, run=FakeCommands())
    wheel = dest / result.wheel
    assert result.changed
    assert result.wheels == 3
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == result.wheel_sha256
    manifest = json.loads((dest / "wheelhouse.json").read_text())
    assert manifest["wheel"] == result.wheel
    assert manifest["dependencies"].keys() == {"a-1-py3-none-any.whl", "b-2-py3-none-any.whl"}
    with tarfile.open(dest / "dependencies.tar") as tar:
        assert tar.getnames() == ["a-1-py3-none-any.whl", "b-2-py3-none-any.whl"]
        assert {member.mtime for member in tar} == {0}


def test_a_second_run_does_nothing(project: Path, dest: Path) -> None:
    first = wheelhouse.prepare(project, dest, run=FakeCommands())
    fake = FakeCommands()
    (project / "src/clusterops/__pycache__/x.pyc").write_bytes(b"cached")
    second = wheelhouse.prepare(project, dest, run=fake)
    assert fake.calls == []
    assert not second.changed
    assert second.wheel_sha256 == first.wheel_sha256


def test_the_same_checkout_gives_the_same_bytes(project: Path, dest: Path, tmp_path: Path) -> None:
    wheelhouse.prepare(project, dest, run=FakeCommands())
    wheelhouse.prepare(project, tmp_path / "other", run=FakeCommands())
    for name in ("wheelhouse.json", "dependencies.tar"):
        assert (dest / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_change_of_source_only_builds(project: Path, dest: Path) -> None:
    wheelhouse.prepare(project, dest, run=FakeCommands())
    (project / "src/clusterops/x.py").write_text("x = 2\n")
    fake = FakeCommands()
    assert wheelhouse.prepare(project, dest, run=fake).changed
    assert fake.calls == ["hatchling"]


@pytest.mark.parametrize("change", ["lock", "python", "arch"])
def test_a_change_of_target_only_downloads(project: Path, dest: Path, change: str) -> None:
    wheelhouse.prepare(project, dest, run=FakeCommands())
    if change == "lock":
        (project / "requirements/node.txt").write_text("a==2\n")
    fake = FakeCommands()
    fake.wheels = {"a-2-py3-none-any.whl": b"a2"}
    wheelhouse.prepare(
        project,
        dest,
        python="3.14" if change == "python" else "3.13",
        arch="aarch64" if change == "arch" else "x86_64",
        run=fake,
    )
    assert fake.calls == ["pip"]
    assert [file.name for file in (dest / "dependencies").iterdir()] == ["a-2-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("dependencies/a-1-py3-none-any.whl", "pip"),
        ("dependencies.tar", "pip"),
        ("clusterops-0.1.0-py3-none-any.whl", "hatchling"),
    ],
)
@pytest.mark.parametrize("missing", [True, False])
def test_damage_is_repaired(
    project: Path, dest: Path, damage: str, repair: str, missing: bool
) -> None:
    wheelhouse.prepare(project, dest, run=FakeCommands())
    if missing:
        (dest / damage).unlink()
    else:
        (dest / damage).write_bytes(b"broken")
    fake = FakeCommands()
    assert wheelhouse.prepare(project, dest, run=fake).changed
    assert fake.calls == [repair]


def test_what_a_killed_run_left_is_cleared(project: Path, dest: Path) -> None:
    (dest / ".download-x").mkdir(parents=True)
    (dest / "wheelhouse.json").write_text('{"format":')
    (dest / "clusterops-0.0.9-py3-none-any.whl").write_bytes(b"old")
    wheelhouse.prepare(project, dest, run=FakeCommands())
    assert sorted(file.name for file in dest.iterdir()) == [
        ".lock",
        "clusterops-0.1.0-py3-none-any.whl",
        "dependencies",
        "dependencies.tar",
        "wheelhouse.json",
    ]


def test_downloads_are_checked_wheels_for_the_node(project: Path, dest: Path) -> None:
    fake = FakeCommands()
    wheelhouse.prepare(project, dest, arch="aarch64", run=fake)
    command = fake.commands[-1]
    assert {"--require-hashes", "--only-binary=:all:", "--python-version=3.13"} <= set(command)
    assert "--platform=manylinux_2_28_aarch64" in command
    assert not [part for part in command if "index-url" in part]


def test_a_failed_download_is_one_clear_line(
    project: Path, dest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeCommands()
    wheelhouse.prepare(project, dest, run=fake)
    (project / "requirements/node.txt").write_text("a==9\n")
    fake.failure = CommandError("pip", 1, "WARNING: x\nERROR: No matching distribution for a==9\n")
    monkeypatch.setattr(wheelhouse, "_run", fake)
    code = wheelhouse.main(["--dest", str(dest), "--project", str(project)])
    output = capsys.readouterr()
    assert code == 1
    assert output.out == ""
    last = output.err.strip().splitlines()[-1]
    assert "No matching distribution for a==9" in last
    assert "package index" in last
    # what was there is still there
    assert (dest / "dependencies/a-1-py3-none-any.whl").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--arch", "riscv"], 2), (["--python", "latest"], 2), (["--project", "/nowhere"], 1)],
)
def test_wrong_arguments_are_refused(
    project: Path,
    dest: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    assert wheelhouse.main(["--project", str(project), "--dest", str(dest), *arguments]) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_command_prints_one_line_of_json(
    project: Path, dest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "_run", FakeCommands())
    assert wheelhouse.main(["--project", str(project), "--dest", str(dest)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result.keys() == {"changed", "wheel", "wheel_sha256", "wheels"}


def test_errors_of_files_are_one_line(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterOpsError, match="cannot prepare wheels"):
        wheelhouse.prepare(project, tmp_path / "file", run=FakeCommands())
