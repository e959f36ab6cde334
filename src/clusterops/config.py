# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.yml: the one file a user edits, read once and passed on as a frozen object.

The keys are flat because Ansible loads the same file as group variables: every key is a
variable, and ``-e agents_max=6`` or a group_vars file overrides one key without the rest.
Defaults live here only; the JSON Schema beside cluster.yml is generated from this model.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clusterops.errors import UsageError

Percent = Annotated[float, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]

CONTROL_NODE = "control-1"


class ClusterConfig(BaseModel):
    """The resolved configuration of one cluster. Times in seconds, memory in MiB."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="cluster.yml")

    cluster_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")] = Field(
        "playground", description="Name of the cluster; machines, networks and images carry it."
    )
    cluster_provider: str = Field(
        "auto",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="What makes the machines: auto, docker, or another installed provider.",
    )
    cluster_bind_address: str = Field(
        "127.0.0.1",
        pattern=r"^\d{1,3}(\.\d{1,3}){3}$",
        description="Host address on which the cluster's ports are published.",
    )

    control_cpus: float = Field(1.0, ge=0.25, le=64, description="CPUs of the control node.")
    control_memory_mb: int = Field(1536, ge=768, le=262_144, description="Memory, MiB.")
    agent_cpus: float = Field(0.5, ge=0.1, le=64, description="CPUs of each agent.")
    agent_memory_mb: int = Field(768, ge=384, le=262_144, description="Memory of each agent, MiB.")

    agents_min: int = Field(1, ge=0, le=50, strict=True, description="Agents that always run.")
    agents_max: int = Field(4, ge=1, le=50, strict=True, description="Most agents that may run.")

    scaling_policy: str = Field(
        "threshold", pattern=r"^[a-z][a-z0-9_]*$", description="Policy that decides."
    )
    scaling_interval_s: Annotated[float, Field(ge=1, le=3600)] = Field(
        10.0, description="Seconds between two looks at the agents."
    )
    scaling_cooldown_s: Seconds = Field(
        30.0, description="Seconds of rest after a scaling action before the next decision."
    )
    scaling_hold_s: Seconds = Field(
        300.0, description="Seconds for which `scale N` keeps the policy from going below N."
    )
    scale_up_cpu_percent: Percent = Field(70.0, description="Scale up above this average CPU.")
    scale_up_memory_percent: Percent = Field(80.0, description="… or above this memory.")
    scale_down_cpu_percent: Percent = Field(30.0, description="Scale down below this CPU …")
    scale_down_memory_percent: Percent = Field(40.0, description="… and below this memory.")
    drain_timeout_s: Annotated[float, Field(ge=0, le=600)] = Field(
        30.0, description="Longest wait for requests in flight when an agent leaves."
    )

    port_server_manager: Port = Field(3000, description="Server Manager API.")
    port_load_balancer: Port = Field(8080, description="The application, load balanced.")
    port_dashboard: Port = Field(9000, description="Dashboard and scaler API.")
    port_prometheus: Port = Field(9090, description="Prometheus.")
    port_ssh: Port = Field(2223, description="ssh to control-1; agent-n is at this port + n.")
    port_app: Port = Field(5000, description="agent-n's application is at this port + n.")
    port_metrics: Port = Field(5100, description="agent-n's metrics API is at this port + n.")

    application_path: str = Field(
        "apps/fibonacci", min_length=1, description="Folder that holds the application's app.yml."
    )
    application_env: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Environment values for the application."
    )
    datastore_postgres_url: str | None = Field(
        None, pattern=r"^postgres(ql)?://", description="An external PostgreSQL, if there is one."
    )
    datastore_redis_url: str | None = Field(
        None, pattern=r"^rediss?://", description="An external Redis, if there is one."
    )

    @model_validator(mode="after")
    def _rules_between_keys(self) -> ClusterConfig:
        problems: list[str] = []
        if self.agents_min > self.agents_max:
            problems.append(
                f"agents_min: {self.agents_min} is more than agents_max ({self.agents_max})"
            )
        for metric in ("cpu", "memory"):
            low = getattr(self, f"scale_down_{metric}_percent")
            high = getattr(self, f"scale_up_{metric}_percent")
            if low >= high:
                problems.append(
                    f"scale_down_{metric}_percent: {low:g} must be below "
                    f"scale_up_{metric}_percent ({high:g}), or the cluster flaps"
                )
        problems += _port_conflicts(self.host_ports())
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def server_names(self) -> list[str]:
        """Every machine that this cluster may ever have."""
        return [CONTROL_NODE, *(f"agent-{n}" for n in range(1, self.agents_max + 1))]

    def host_ports(self) -> dict[str, int]:
        """Every host port the cluster may use, by what uses it."""
        ports = {
            "Server Manager API": self.port_server_manager,
            "load balancer": self.port_load_balancer,
            "dashboard": self.port_dashboard,
            "Prometheus": self.port_prometheus,
            "ssh to control-1": self.port_ssh,
        }
        for n in range(1, self.agents_max + 1):
            ports[f"ssh to agent-{n}"] = self.port_ssh + n
            ports[f"application of agent-{n}"] = self.port_app + n
            ports[f"metrics of agent-{n}"] = self.port_metrics + n
        return ports


def _port_conflicts(ports: dict[str, int]) -> list[str]:
    problems: list[str] = []
    owner: dict[int, str] = {}
    for what, port in ports.items():
        if port > 65535:
            problems.append(f"ports: {what} would be at {port}; the highest port is 65535")
        elif port in owner:
            problems.append(f"ports: {what} and {owner[port]} would both be at {port}")
        else:
            owner[port] = what
    return problems


def load_config(path: Path) -> ClusterConfig:
    """Read and check cluster.yml.

    Raises:
        UsageError: one line per problem, each naming file, key, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text") from error
    return parse_config(text, str(path))


def parse_config(text: str, source: str = "cluster.yml") -> ClusterConfig:
    """Check the text of a cluster.yml; see :func:`load_config`."""
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "is not valid YAML"
        raise UsageError(f"{source}:{where} {problem}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UsageError(
            f"{source}: found a {type(data).__name__}, expected keys such as 'agents_max: 4'"
        )
    try:
        return ClusterConfig.model_validate(data)
    except ValidationError as error:
        raise UsageError(
            "\n".join(f"{source}: {line}" for line in _describe(error, text))
        ) from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; a user would never see why."""


def _mapping_without_duplicates(
    loader: _UniqueKeyLoader, node: yaml.MappingNode
) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if isinstance(key, str | int) and key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key '{key}' is given twice", problem_mark=key_node.start_mark
            )
        if isinstance(key, str | int):
            seen.add(key)
    return loader.construct_mapping(node)


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates
)


def _describe(error: ValidationError, text: str) -> list[str]:
    lines: list[str] = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"][:2])
        found = problem.get("input")
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, ClusterConfig.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "see cluster.schema.json for all"
            lines.append(f"{_line_of(key, text)}{key}: unknown key; {hint}")
        elif problem["type"] == "value_error":
            lines += str(problem["ctx"]["error"]).split("\n")
        else:
            base = str(problem["loc"][0])
            lines.append(
                f"{_line_of(base, text)}{base}: found {found!r}; "
                f"allowed: {_allowed(base) or problem['msg']}"
            )
    return list(dict.fromkeys(lines))


def _line_of(key: str, text: str) -> str:
    match = re.search(rf"^{re.escape(key)}\s*:", text, re.MULTILINE)
    return f"line {text.count(chr(10), 0, match.start()) + 1}: " if match else ""


def _allowed(key: str) -> str:
    """What a key may hold, in words, out of the schema."""
    schema = ClusterConfig.model_json_schema()["properties"][key]
    options = schema.get("anyOf", [schema])
    words: list[str] = []
    for option in options:
        kind = {"number": "a number", "integer": "a whole number", "string": "text"}.get(
            option.get("type", ""), option.get("type", "")
        )
        low, high = option.get("minimum"), option.get("maximum")
        if low is not None and high is not None:
            kind += f" from {low:g} to {high:g}"
        if "pattern" in option:
            kind += f" like {option['pattern']}"
        words.append("nothing" if kind == "null" else kind)
    return " or ".join(dict.fromkeys(word for word in words if word))


def json_schema() -> str:
    """The text of cluster.schema.json."""
    schema = ClusterConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


