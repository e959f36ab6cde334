# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a playbook: what is passed, what is kept, what a user reads when it fails."""

from __future__ import annotations

import json
import os
import shlex
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ansible_runner
import pytest

from clusterops.config import ClusterConfig
from clusterops.errors import ClusterOpsError
from clusterops.lifecycle import provisioning
from clusterops.lifecycle.provisioning import Progress, Step, failure_message, run_playbook
from clusterops.state import State, project_root

CONFIG = ClusterConfig(agents_max=6)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": data, "stdout": f"line of {kind}"}


PLAY = event("playbook_on_play_start", name="Agents")
TASK = event("playbook_on_task_start", task="base : Install packages")
FAILED = event(
    "runner_on_failed",
    host="agent-1",
    task="Install packages",
    res={"msg": "No package matching 'x'"},
)
IGNORED = event("runner_on_failed", host="agent-1", task="Probe", ignore_errors=True, res={})
STATS = event("playbook_on_stats", changed={"control-1": 2, "agent-1": 3})


class FakeRunner:
    """Stands for ansible_runner.run: plays events and ends with a status."""

    def __init__(self, *events: dict[str, Any], status: str = "successful") -> None:
        self.events = events
        self.status = status
        self.options: dict[str, Any] = {}

    def __call__(self, **options: Any) -> Any:
        self.options = options
        self.folder_existed = Path(options["private_data_dir"]).is_dir()
        for item in self.events:
            options["event_handler"](item)
        return SimpleNamespace(status=self.status)


def run(runner: FakeRunner, state: State, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> Any:
    monkeypatch.setattr(ansible_runner, "run", runner)
    return run_playbook("site.yml", state, CONFIG, lambda *_: None, extra)


def test_progress_names_play_role_task_and_node_and_adds_up_changes() -> None:
    seen: list[Step] = []
    clock = iter([10.0, 17.5])
    progress = Progress(seen.append, lambda: next(clock))
    begin = {"role": "clusterops.playground.base", "task": "Install packages"}
    starts = [event("runner_on_start", host=f"agent-{n}", **begin) for n in (1, 2)]
    for item in (PLAY, TASK, *starts, STATS):
        assert progress.handle(item) is False
    assert seen == [
        Step("Agents", "clusterops.playground.base", "Install packages", "agent-1", True),
        Step("Agents", "clusterops.playground.base", "Install packages", "agent-2", False),
    ]
    assert progress.outcome.changed == 5
    assert progress.outcome.play_seconds == {"Agents": 7.5}


def test_only_failures_that_count_are_kept() -> None:
    progress = Progress(lambda *_: None)
    unreachable = event("runner_on_unreachable", host="agent-2", task="Gather", res={"msg": "gone"})
    for item in (IGNORED, FAILED, unreachable):
        progress.handle(item)
    assert [failure.host for failure in progress.outcome.failures] == ["agent-1", "agent-2"]


def test_an_event_without_data_is_no_problem() -> None:
    assert Progress(lambda *_: None).handle({"event": "verbose"}) is False


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"msg": "no\n  such file"}, "no such file"),
        ({"msg": "non-zero return code", "stderr": "E: locked"}, "non-zero return code E: locked"),
        ({"msg": "E: locked here", "stderr": "E: locked"}, "E: locked here"),
        ({"msg": "", "module_stdout": "trace"}, "trace"),
        (
            {"msg": "One or more items failed", "results": [{}, {"failed": True, "msg": "item"}]},
            "item",
        ),
        ({}, ""),
    ],
)
def test_the_most_telling_text(result: dict[str, Any], message: str) -> None:
    assert failure_message(result) == message


def test_a_long_failure_keeps_its_beginning_and_its_end() -> None:
    text = failure_message({"msg": "begin " + "x" * 5000 + " end"})
    assert text.startswith("begin")
    assert text.endswith("end")
    assert len(text) < 600


def test_a_run_leaves_a_private_log_and_nothing_else(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner(PLAY, TASK, STATS)
    outcome = run(runner, state, monkeypatch)
    assert outcome.changed == 5
    assert "line of playbook_on_stats" in outcome.log.read_text()
    assert stat.S_IMODE(outcome.log.stat().st_mode) == 0o600
    assert runner.folder_existed
    assert list(state.root.glob("run-*")) == []


def test_a_failure_names_host_task_reason_and_log(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterOpsError) as caught:
        run(FakeRunner(PLAY, TASK, FAILED, STATS, status="failed"), state, monkeypatch)
    assert caught.value.message == "agent-1: Install packages: No package matching 'x'"
    assert "run the same command again" in (caught.value.remedy or "")
    assert list(state.root.glob("run-*")) == []


def test_the_failure_that_ended_the_run_is_told_not_one_that_was_mended(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = event("runner_on_failed", host="control-1", task="Restart", res={"msg": "no such unit"})
    with pytest.raises(ClusterOpsError, match="control-1: Restart: no such unit"):
        run(FakeRunner(PLAY, FAILED, end, STATS, status="failed"), state, monkeypatch)


def test_a_failure_before_any_task(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"event": "verbose", "stdout": "ERROR! the playbook could not be found"}
    with pytest.raises(ClusterOpsError, match=r"site\.yml: ERROR! the playbook could not"):
        run(FakeRunner(broken, status="failed"), state, monkeypatch)
    with pytest.raises(ClusterOpsError, match=r"site\.yml: timeout"):
        run(FakeRunner(status="timeout"), state, monkeypatch)


def test_another_cluster_file_wins_in_every_key(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    run(runner, state, monkeypatch, only="agent-1")
    words = shlex.split(runner.options["cmdline"])
    assert words[0::2] == ["-e", "-e"]
    resolved = Path(words[1].removeprefix("@"))
    assert json.loads(resolved.read_text()) == CONFIG.model_dump()
    assert stat.S_IMODE(resolved.stat().st_mode) == 0o600
    assert json.loads(words[3]) == {"only": "agent-1"}


def test_the_checkouts_own_cluster_file_needs_no_extra_variables(tmp_path: Path) -> None:
    own = State(root=tmp_path, cluster_file=project_root() / "cluster.yml")
    assert provisioning.command_line(own, CONFIG, {}) == []


def test_the_runs_configuration_is_the_projects_whatever_the_shell_has(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_CONFIG", "/somewhere/else.cfg")
    variables = provisioning.environment(state)
    assert variables["ANSIBLE_CONFIG"] == str(project_root() / "ansible.cfg")
    assert variables["CLUSTEROPS_ENDPOINT_FILE"] == str(state.endpoint_file)


def test_old_logs_go(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (state.logs / f"site-2020010{number // 10}T00000{number % 10}Z.log").touch()
    (state.logs / "scale_up-20200101T000000Z.log").touch()
    outcome = run(FakeRunner(), state, monkeypatch)
    kept = sorted(path.name for path in state.logs.glob("site-*"))
    assert len(kept) == provisioning.KEPT_LOGS
    assert outcome.log.name == kept[-1]
    assert (state.logs / "scale_up-20200101T000000Z.log").exists()


def test_what_a_killed_run_has_left_is_removed(state: State) -> None:
    """Of a run that is in progress, nothing is."""
    mine = state.root / f"run-{os.getpid()}-abc"
    killed = state.root / "run-4194399-abc"  # beyond the highest process id of Linux
    earlier = state.root / "run-_qhl9_bj"
    for folder in (mine, killed, earlier):
        (folder / "artifacts").mkdir(parents=True)
    provisioning.remove_leftovers(state)
    assert [folder.is_dir() for folder in (mine, killed, earlier)] == [True, False, False]
