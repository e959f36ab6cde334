# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.yml: the one file a user edits, as a frozen object; config_file.py reads it.

The keys are flat because Ansible loads the same file as group variables: every key is a
variable, and ``-e agents_max=6`` or a group_vars file overrides one key without the rest.
Defaults live here only; the JSON Schema beside cluster.yml is generated from this model.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clusterops.errors import UsageError


def _ipv4(text: str) -> str:
    return str(ipaddress.IPv4Address(text))


def _ipv4_network(text: str) -> str:
    return str(ipaddress.IPv4Network(text))


def _policy_entry(entry: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(entry.get("policy"), str):
        raise ValueError("each has the key 'policy' with a policy's name, and its options")
    return entry


Percent = Annotated[float, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]
IPv4 = Annotated[str, AfterValidator(_ipv4), Field(json_schema_extra={"format": "ipv4"})]
IPv4Network24 = Annotated[
    str, Field(pattern=r"^\d+\.\d+\.\d+\.0/24$"), AfterValidator(_ipv4_network)
]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
NonEmpty = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]

PolicyEntry = Annotated[
    dict[str, Any],
    AfterValidator(_policy_entry),
    Field(
        json_schema_extra={
            "required": ["policy"],
            "properties": {"policy": {"type": "string", "description": "Its name."}},
        }
    ),
]
"""A policy's name and its options; the policy itself checks those."""

CONTROL_NODE = "control-1"

NODE_PYTHONS = {"ubuntu-24.04": "3.12", "debian-12": "3.11", "debian-13": "3.13"}
"""The Python that each of the nodes' operating systems brings."""

PORT_KEYS = {
    "Server Manager": "port_server_manager",
    "load balancer": "port_load_balancer",
    "TLS": "port_load_balancer_tls",
    "dashboard": "port_dashboard",
    "Prometheus": "port_prometheus",
    "ssh": "port_ssh",
    "application": "port_app",
    "metrics": "port_metrics",
}
"""How the names in :meth:`ClusterConfig.host_ports` begin -> the key that moves the port."""


class ClusterConfig(BaseModel):
    """The resolved configuration of one cluster. Times in seconds, memory in MiB."""

    # Strict: Ansible reads the same file and would take "4" for text and `yes` for true.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="cluster.yml")

    cluster_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")] = Field(
        "playground", description="Name of the cluster; machines, networks and images carry it."
    )
    cluster_provider: str = Field(
        "auto",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="What makes the machines: auto, docker, virtualbox, or another installed "
        "provider. A cluster keeps it until it is taken down.",
    )
    cluster_bind_address: IPv4 = Field(
        "127.0.0.1",
        description="Host address on which the cluster's ports are published.",
    )
    dashboard_open: bool | None = Field(
        None,
        description="Whether the dashboard and the scaler's API can be read without a token; "
        "nothing for: only while cluster_bind_address is a loopback address.",
    )

    control_cpus: float = Field(2.0, ge=0.25, le=64, description="CPUs of the control node.")
    control_memory_mb: int = Field(1536, ge=768, le=262_144, description="Memory, MiB.")
    agent_cpus: float = Field(0.5, ge=0.1, le=64, description="CPUs of each agent.")
    agent_memory_mb: int = Field(768, ge=384, le=262_144, description="Memory of each agent, MiB.")

    node_os: Literal["ubuntu-24.04", "debian-12", "debian-13"] = Field(
        "ubuntu-24.04",
        description="Operating system of virtual machines, also that of a vagrant_box or "
        "virtualbox_template of your own; nodes in containers are Debian 13.",
    )
    vagrant_box: str | None = Field(
        None, min_length=1, description="Vagrant box to use instead of the usual one of node_os."
    )
    virtualbox_template: str | None = Field(
        None,
        min_length=1,
        description="Name or UUID of a virtual machine to clone; nothing for one out of the "
        "Vagrant box.",
    )
    virtualbox_network: IPv4Network24 = Field(
        "10.213.56.0/24", description="Network between virtual machines, a /24."
    )

    node_firewall: bool = Field(
        True,
        description="Nodes let in only what they are meant to serve, from where it is needed.",
    )
    node_hardening: bool = Field(
        True, description="Strict ssh, kernel and login settings on nodes."
    )

    startup_cpus: float = Field(
        2.0,
        ge=0,
        le=64,
        description="CPUs of a machine in its first seconds after power-on, where that is more "
        "than it has otherwise; 0 for no such boost.",
    )
    startup_boost_s: Seconds = Field(45.0, description="How long that lasts.")

    agents_min: int = Field(1, ge=0, le=50, description="Agents that always run.")
    agents_max: int = Field(4, ge=1, le=50, description="Most agents that may run.")

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
    scaling_policies: list[PolicyEntry] = Field(
        default_factory=list,
        description="Several policies, or one with options, instead of scaling_policy; the one "
        "that asks for the most agents wins.",
    )
    scale_up_cooldown_s: Seconds | None = Field(
        None, description="Rest before the next scale-up; nothing for scaling_cooldown_s."
    )
    scale_down_cooldown_s: Seconds | None = Field(
        None, description="Rest before the next scale-down; nothing for scaling_cooldown_s."
    )
    scale_up_stabilization_s: Seconds = Field(
        0.0, description="Scale up only to what was asked for during all of these seconds."
    )
    scale_down_stabilization_s: Seconds = Field(
        0.0, description="Scale down only to what was enough during all of these seconds."
    )
    scale_up_rate_agents: int = Field(
        4, ge=1, le=50, description="Most agents that may be added within scaling_rate_period_s …"
    )
    scale_up_rate_percent: Annotated[float, Field(ge=0, le=1000)] = Field(
        100.0, description="… or so many percent of them, if that is more."
    )
    scale_down_rate_agents: int = Field(
        1, ge=1, le=50, description="Most agents that may be removed within scaling_rate_period_s …"
    )
    scale_down_rate_percent: Percent = Field(
        0.0, description="… or so many percent of them, if that is more."
    )
    scaling_rate_period_s: Annotated[float, Field(ge=1, le=3600)] = Field(
        15.0, description="Seconds for which those numbers hold."
    )
    scaling_warmup_s: Seconds = Field(
        15.0, description="Seconds in service before an agent's metrics count."
    )
    scaling_dry_run: bool = Field(
        False, description="Decide and write it down, but change nothing."
    )
    warm_agents: int = Field(
        0,
        ge=0,
        le=50,
        description="Stopped agents that are kept prepared, so that a scale-up skips provisioning "
        "and image pull.",
    )
    drain_timeout_s: Annotated[float, Field(ge=0, le=600)] = Field(
        30.0, description="Longest wait for requests in flight when an agent leaves."
    )

    port_server_manager: Port = Field(3000, description="Server Manager API.")
    port_load_balancer: Port = Field(8080, description="The application, load balanced.")
    port_load_balancer_tls: Port = Field(
        8443, description="The same with TLS and HTTP/2, unless load_balancer_tls is none."
    )
    port_dashboard: Port = Field(9000, description="Dashboard and scaler API.")
    port_prometheus: Port = Field(9090, description="Prometheus.")
    port_ssh: Port = Field(2223, description="ssh to control-1; agent-n is at this port + n.")
    port_app: Port = Field(5000, description="agent-n's application is at this port + n.")
    port_metrics: Port = Field(5100, description="agent-n's metrics API is at this port + n.")

    load_balancer_tls: Literal["none", "cluster", "own"] = Field(
        "none",
        description="TLS and HTTP/2 for the application: none, with a certificate of the cluster's "
        "own authority, or with one of your own. A cluster that is up gets it by down and up.",
    )
    load_balancer_tls_certificate_file: str = Field(
        "",
        description="Certificate of your own with its chain, PEM; from the folder of cluster.yml.",
    )
    load_balancer_tls_key_file: str = Field("", description="Its key, PEM.")
    load_balancer_tls_redirect: bool = Field(
        False, description="Send clients that come in without TLS to it."
    )

    application_path: str = Field(
        "apps/fibonacci",
        min_length=1,
        description="Folder that holds the application's app.yml, or URL[#REF] of a git repository "
        "that holds it.",
    )
    application_env: dict[VariableName, str | int | float | bool] = Field(
        default_factory=dict,
        description="Environment values for the application.",
        json_schema_extra={"additionalProperties": False},
    )
    application_env_file: str = Field(
        "",
        description="File with more of them (NAME: value), for secrets: readable by its owner "
        "alone, or encrypted with Ansible Vault. From the folder of cluster.yml.",
    )
    application_repositories: dict[str, NonEmpty] = Field(
        default_factory=dict,
        description="URL[#REF] to clone instead of the repository that an application's app.yml "
        "names (source.git), such as a mirror or a fork, by the application's name.",
    )
    application_base_images: dict[str, NonEmpty] = Field(
        default_factory=dict,
        description="Image to build on instead of the base image that an app.yml names, such as "
        "the same one in a registry of one's own, by the name of that image.",
    )
    application_git_key_file: str = Field(
        "", description="Private ssh key (deploy key) for git repositories; a file of this host."
    )
    application_git_known_hosts_file: str = Field(
        "~/.ssh/known_hosts",
        description="Host keys of git servers that are reached by ssh; a file of this host.",
    )
    application_ready_timeout_s: int = Field(
        90, ge=5, le=3600, description="Seconds that a release may take to become ready."
    )
    deploy_serial: int = Field(
        1, ge=1, le=50, description="How many agents change their release at a time."
    )
    datastore_tls: bool = Field(
        True,
        description="Whether the cluster's own PostgreSQL and Redis take connections with TLS "
        "alone; false for an application whose clients cannot verify a certificate.",
    )
    datastore_postgres_url: str | None = Field(
        None, pattern=r"^postgres(ql)?://", description="An external PostgreSQL, if there is one."
    )
    datastore_redis_url: str | None = Field(
        None, pattern=r"^rediss?://", description="An external Redis, if there is one."
    )

    @model_validator(mode="after")
    def _rules_between_keys(self) -> ClusterConfig:
        problems = [
            *scaling_contradictions(self),
            *_policy_problems(self),
            *_tls_problems(self),
            *_port_conflicts(self.host_ports()),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def server_names(self) -> list[str]:
        """Every machine that this cluster may ever have."""
        return [CONTROL_NODE, *(f"agent-{n}" for n in range(1, self.agents_max + 1))]

    def node_python(self, provider: str) -> str:
        """The nodes' Python, for which their wheels are made. Containers are Debian 13."""
        return NODE_PYTHONS["debian-13" if provider == "docker" else self.node_os]

    def host_ports(self) -> dict[str, int]:
        """Every host port the cluster may use, by what uses it."""
        ports = {
            "Server Manager API": self.port_server_manager,
            "load balancer": self.port_load_balancer,
            "dashboard": self.port_dashboard,
            "Prometheus": self.port_prometheus,
            "ssh to control-1": self.port_ssh,
        }
        if self.load_balancer_tls != "none":
            ports["TLS of the load balancer"] = self.port_load_balancer_tls
        for n in range(1, self.agents_max + 1):
            ports[f"ssh to agent-{n}"] = self.port_ssh + n
            ports[f"application of agent-{n}"] = self.port_app + n
            ports[f"metrics of agent-{n}"] = self.port_metrics + n
        return ports


def scaling_contradictions(settings: Any) -> list[str]:
    """Problems between the scaling keys that cluster.yml and the scaler's settings share."""
    problems: list[str] = []
    if settings.agents_min > settings.agents_max:
        problems.append(
            f"agents_min: {settings.agents_min} is more than agents_max ({settings.agents_max})"
        )
    for metric in ("cpu", "memory"):
        low = getattr(settings, f"scale_down_{metric}_percent")
        high = getattr(settings, f"scale_up_{metric}_percent")
        if low >= high:
            problems.append(
                f"scale_down_{metric}_percent: {low:g} must be below "
                f"scale_up_{metric}_percent ({high:g}), or the cluster flaps"
            )
    return problems


def _policy_problems(config: ClusterConfig) -> list[str]:
    """What the policies themselves refuse."""
    # Here, because the policies need more than a look at cluster.yml otherwise does.
    from clusterops.scaler.policies import policy_from

    try:
        policy_from(config.model_dump())
    except UsageError as error:
        return [error.message]
    return []


def _tls_problems(config: ClusterConfig) -> list[str]:
    """A certificate of one's own takes two files."""
    return [
        f"{key}: it is missing; load_balancer_tls: own takes a certificate and its key"
        for key in ("load_balancer_tls_certificate_file", "load_balancer_tls_key_file")
        if config.load_balancer_tls == "own" and not getattr(config, key)
    ]


def _port_conflicts(ports: dict[str, int]) -> list[str]:
    """One line for each pair of keys that clash, however many agents are concerned."""
    problems: dict[tuple[str, str], str] = {}
    owner: dict[int, str] = {}
    for what, port in ports.items():
        key = _port_key(what)
        if port > 65535:
            problem = f"{key}: {what} would be at {port}; the highest port is 65535"
            problems.setdefault((key, ""), problem)
        elif port in owner:
            other = _port_key(owner[port])
            problem = f"{key}: {what} and {owner[port]} ({other}) would both be at {port}"
            problems.setdefault((key, other), problem)
        else:
            owner[port] = what
    return list(problems.values())


def _port_key(what: str) -> str:
    return next(key for beginning, key in PORT_KEYS.items() if what.startswith(beginning))


def json_schema() -> str:
    """The text of cluster.schema.json."""
    schema = ClusterConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
