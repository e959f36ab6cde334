# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
import types
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

import clusterops.cli as cli
from clusterops.cli import COMMANDS, Command, app, main
from clusterops.errors import ClusterOpsError, NotRunningError, UsageError


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, state: Any) -> Any:
    """A command `probe` whose body the test gives."""
    module = types.ModuleType("probe_module")
    monkeypatch.setitem(sys.modules, "probe_module", module)
    monkeypatch.setitem(COMMANDS, "probe", Command("probe_module", "probe", "A probe.", "Probes"))

    def use(function: Any) -> None:
        module.probe = function  # type: ignore[attr-defined]

    return use


def test_help_lists_every_command_with_its_line() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert name in result.output
        assert entry.help in result.output


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "status" in capsys.readouterr().out


def test_help_imports_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(cli.importlib, "import_module", refuse)
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


@pytest.mark.parametrize("name", ["status", "ssh", "logs", "scale", "load", "doctor"])
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_a_mistyped_command_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statu"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith("Error: No such command 'statu'")
    assert "--help" in err


def test_an_unknown_option_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--colour"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("Error: No such option")
    assert err[1] == "→ see ./playground status --help"


@pytest.mark.parametrize(
    ("error", "code"), [(ClusterOpsError, 1), (UsageError, 2), (NotRunningError, 3)]
)
def test_an_error_is_a_line_with_a_remedy(
    probe: Any, capsys: pytest.CaptureFixture[str], error: type[ClusterOpsError], code: int
) -> None:
    def command() -> None:
        raise error("It is broken.", remedy="mend it")

    probe(command)
    assert main(["probe"]) == code
    assert capsys.readouterr().err == "Error: It is broken.\n→ mend it\n"


def test_each_line_of_a_message_is_an_error_line(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise UsageError("cluster.yml: one\ncluster.yml: two")

    probe(command)
    main(["probe"])
    assert capsys.readouterr().err == "Error: cluster.yml: one\nError: cluster.yml: two\n"


def test_a_defect_is_one_line_and_a_private_log(
    probe: Any, state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise ValueError("odd\nsecond line")

    probe(command)
    assert main(["probe"]) == 1
    log = state.logs / "cli.log"
    assert capsys.readouterr().err == f"Internal error: ValueError: odd; details in {log}\n"
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_debug_shows_the_traceback(
    probe: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise ValueError("odd")

    probe(command)
    monkeypatch.setenv("PLAYGROUND_DEBUG", "1")
    main(["probe"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_quiet_and_130(probe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise KeyboardInterrupt

    probe(command)
    assert main(["probe"]) == 130
    assert "Error" not in capsys.readouterr().err


def test_exit_code_comes_from_the_return_value_or_typer_exit(probe: Any) -> None:
    probe(lambda: 7)
    assert main(["probe"]) == 7

    def leave() -> None:
        raise typer.Exit(5)

    probe(leave)
    assert main(["probe"]) == 5
    probe(lambda: None)
    assert main(["probe"]) == 0


def test_typed_options_of_a_command_are_parsed(probe: Any) -> None:
    seen: list[int] = []

    def command(count: Annotated[int, typer.Option(min=1)] = 1) -> None:
        seen.append(count)

    probe(command)
    assert main(["probe", "--count", "4"]) == 0
    assert seen == [4]
    assert main(["probe", "--count", "0"]) == 2


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == cli.__version__
