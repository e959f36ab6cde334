# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's settings: one JSON file that the role ``scaler`` renders.

Keys that cluster.yml knows keep their names from there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clusterops.config import PolicyEntry, scaling_contradictions
from clusterops.errors import UsageError
from clusterops.scaler.model import Limits, Rate, Rules

_CONFIG = Path("/etc/clusterops")
_COLLECTION = Path("/opt/clusterops/collections/ansible_collections/clusterops/playground")
_STATE = Path("/var/lib/clusterops")

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Percent = Annotated[float, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*)?$")]


class ScalerSettings(BaseModel):
    """Everything the scaler is told. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster_name: str = "playground"
    server_manager_url: Url
    server_manager_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    server_manager_ca_file: Path | None = None
    token_file: Path = _CONFIG / "token"
    access_file: Path = _CONFIG / "access.json"
    read_open: bool = False
    names: tuple[str, ...] = ()
    load_balancer_admin_url: Url = "http://127.0.0.1:8081"
    deployment_file: Path = _CONFIG / "deployment.json"

    listen_address: str = "0.0.0.0"  # noqa: S104 - the host reaches it from outside the node
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 9000

    agents_min: Annotated[int, Field(ge=0, le=50)] = 1
    agents_max: Annotated[int, Field(ge=1, le=50)] = 4
    scaling_policy: str = "threshold"
    scaling_policies: tuple[PolicyEntry, ...] = ()
    scaling_interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    scaling_cooldown_s: Seconds = 30.0
    scaling_hold_s: Seconds = 300.0
    scale_up_cpu_percent: Percent = 70.0
    scale_up_memory_percent: Percent = 80.0
    scale_down_cpu_percent: Percent = 30.0
    scale_down_memory_percent: Percent = 40.0
    scale_up_cooldown_s: Seconds | None = None
    scale_down_cooldown_s: Seconds | None = None
    scale_up_stabilization_s: Seconds = 0.0
    scale_down_stabilization_s: Seconds = 0.0
    scale_up_rate_agents: Annotated[int, Field(ge=1, le=50)] = 4
    scale_up_rate_percent: Annotated[float, Field(ge=0, le=1000)] = 100.0
    scale_down_rate_agents: Annotated[int, Field(ge=1, le=50)] = 1
    scale_down_rate_percent: Percent = 0.0
    scaling_rate_period_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    scaling_warmup_s: Seconds = 15.0
    scaling_dry_run: bool = False
    warm_agents: Annotated[int, Field(ge=0, le=50)] = 0

    metrics_port: Port = 5100
    sweep_timeout_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    confirm_after_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    health_interval_s: Annotated[float, Field(ge=0.1, le=60)] = 1.5
    silent_looks: Annotated[int, Field(ge=1, le=100)] = 2
    unready_s: Seconds = 7.0
    none_ready_s: Seconds = 30.0

    playbook_scale_up: Path = _COLLECTION / "playbooks/scale_up.yml"
    playbook_scale_down: Path = _COLLECTION / "playbooks/scale_down.yml"
    playbook_prepare: Path = _COLLECTION / "playbooks/prepare.yml"
    inventory: Path = _CONFIG / "inventory"
    ansible_config: Path = _CONFIG / "ansible.cfg"
    action_timeout_s: Annotated[float, Field(ge=1, le=3600)] = 300.0
    actions_at_once: Annotated[int, Field(ge=1, le=50)] = 3
    backoff_s: Seconds = 5.0
    backoff_limit_s: Seconds = 120.0
    quarantine_failures: Annotated[int, Field(ge=1, le=100)] = 3
    quarantine_s: Seconds = 600.0

    state_dir: Path = _STATE
    ticks_kept_s: Annotated[float, Field(ge=60, le=31_536_000)] = 86_400.0
    events_kept: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000

    @model_validator(mode="after")
    def _rules_between_keys(self) -> ScalerSettings:
        problems = scaling_contradictions(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def limits(self) -> Limits:
        def own(value: float | None, common: float) -> float:
            return common if value is None else value

        return Limits(
            agents_min=self.agents_min,
            agents_max=self.agents_max,
            cooldown_up_s=own(self.scale_up_cooldown_s, self.scaling_cooldown_s),
            cooldown_down_s=own(self.scale_down_cooldown_s, self.scaling_cooldown_s),
            stabilization_up_s=self.scale_up_stabilization_s,
            stabilization_down_s=self.scale_down_stabilization_s,
            up_rate=Rate(
                self.scale_up_rate_agents, self.scale_up_rate_percent, self.scaling_rate_period_s
            ),
            down_rate=Rate(
                self.scale_down_rate_agents,
                self.scale_down_rate_percent,
                self.scaling_rate_period_s,
            ),
            warmup_s=self.scaling_warmup_s,
            dry_run=self.scaling_dry_run,
        )

    @property
    def rules(self) -> Rules:
        return Rules(
            agents_max=self.agents_max,
            warm_agents=self.warm_agents,
            silent_looks=self.silent_looks,
            unready_s=self.unready_s,
            none_ready_s=self.none_ready_s,
            backoff_s=self.backoff_s,
            backoff_limit_s=self.backoff_limit_s,
            actions_at_once=self.actions_at_once,
            quarantine_failures=self.quarantine_failures,
            quarantine_s=self.quarantine_s,
        )

    @property
    def database(self) -> Path:
        return self.state_dir / "scaler.sqlite3"

    @property
    def runner_dir(self) -> Path:
        return self.state_dir / "runner"


def load_settings(path: Path) -> ScalerSettings:
    """Read and check the settings file.

    Raises:
        UsageError: every problem on one line, each with its key.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not valid JSON: {error}") from error
    return settings_from(data, str(path))


def settings_from(data: Any, source: str) -> ScalerSettings:
    """Check settings that came from ``source``. Raises UsageError as ``load_settings`` does."""
    try:
        return ScalerSettings.model_validate(data)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "value_error":
                problems.append(str(problem["ctx"]["error"]))
            elif problem["type"] == "extra_forbidden":
                problems.append(f"{key}: unknown key")
            elif problem["type"] == "missing":
                problems.append(f"{key}: is missing")
            else:
                problems.append(f"{key}: found {problem.get('input')!r}; {problem['msg']}")
        raise UsageError(f"{source}: " + "; ".join(problems)) from error
