# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster.yml: its defaults, its rules, and what a user is told about a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clusterops.config import PORT_KEYS, ClusterConfig, json_schema
from clusterops.config_file import load_config, parse_config
from clusterops.errors import ExitCode, UsageError

KEYS = sorted(ClusterConfig.model_fields)


def complaints(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse_config(text, "my/cluster.yml")
    return caught.value.message.split("\n")


def complaint(text: str) -> str:
    """The only line that a user reads."""
    lines = complaints(text)
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_documented_and_has_a_default(key: str) -> None:
    field = ClusterConfig.model_fields[key]
    assert field.description
    assert not field.is_required()


def test_an_empty_file_is_a_whole_configuration() -> None:
    config = parse_config("# nothing but a comment\n")
    assert config == ClusterConfig()
    assert (config.cluster_name, config.agents_min, config.agents_max) == ("playground", 1, 4)
    assert (config.port_server_manager, config.port_load_balancer) == (3000, 8080)
    assert (config.scale_up_cpu_percent, config.scale_up_memory_percent) == (70, 80)
    assert (config.scale_down_cpu_percent, config.scale_down_memory_percent) == (30, 40)


def test_what_the_file_says_is_what_the_configuration_holds() -> None:
    text = "agents_max: 7\nagent_cpus: 2\napplication_env: {A: 1, B: on, C: text}\n"
    config = parse_config(text)
    assert (config.agents_max, config.agent_cpus) == (7, 2.0)
    assert config.application_env == {"A": 1, "B": True, "C": "text"}


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ClusterConfig().agents_max = 9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "agents_min: 1\nagents_max: many\n",
            "line 2: agents_max: found 'many'; allowed: a whole number from 1 to 50",
        ),
        ("agents_max: 51", "line 1: agents_max: found 51; allowed: a whole number from 1 to 50"),
        ("agents_max: 4.0", "line 1: agents_max: found 4.0; allowed: a whole number from 1 to 50"),
        ("agents_max:", "line 1: agents_max: found nothing; allowed: a whole number from 1 to 50"),
        ("agent_cpus: '1'", "line 1: agent_cpus: found '1'; allowed: a number from 0.1 to 64"),
        ("agent_cpus: yes", "line 1: agent_cpus: found True; allowed: a number from 0.1 to 64"),
        (
            "\n'agents_max': x",
            "line 2: agents_max: found 'x'; allowed: a whole number from 1 to 50",
        ),
        ("{agents_max: x}", "line 1: agents_max: found 'x'; allowed: a whole number from 1 to 50"),
        (
            "cluster_bind_address: 999.1.1.1",
            "line 1: cluster_bind_address: found '999.1.1.1'; "
            "allowed: an IPv4 address such as 127.0.0.1",
        ),
        (
            "cluster_name: Über",
            "line 1: cluster_name: found 'Über'; allowed: text like ^[a-z][a-z0-9-]{0,30}[a-z0-9]$",
        ),
        (
            "scale_up_cpu_percent: .nan",
            "line 1: scale_up_cpu_percent: found nan; allowed: a number from 0 to 100",
        ),
        ("# a\nagents_mx: 3", "line 2: agents_mx: unknown key; did you mean 'agents_max'?"),
        ("xyzzy: 3", "line 1: xyzzy: unknown key; see cluster.schema.json for all"),
        ("'a\nb': 3", "line 1: a b: unknown key; see cluster.schema.json for all"),
        ("7: 3", "line 1: 7: unknown key; see cluster.schema.json for all"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
        ("agents_max: [", "line 1: expected the node content, but found '<stream end>'"),
        (
            "agents_max: 1\nx: 2030-13-45",
            "line 2: found something that is not a valid timestamp; quotes make it text",
        ),
        ("agents_min: 5", "line 1: agents_min: 5 is more than agents_max (4)"),
        ("\nagents_max: 3\nagents_min: 4", "line 3: agents_min: 4 is more than agents_max (3)"),
        (
            "scale_up_memory_percent: 40",
            "line 1: scale_down_memory_percent: 40 must be below scale_up_memory_percent (40), "
            "or the cluster flaps",
        ),
        (
            "port_load_balancer: 9000",
            "line 1: port_dashboard: dashboard and load balancer (port_load_balancer) "
            "would both be at 9000",
        ),
        (
            "load_balancer_tls: cluster\nport_load_balancer_tls: 9090",
            "line 2: port_load_balancer_tls: TLS of the load balancer and Prometheus "
            "(port_prometheus) would both be at 9090",
        ),
        (
            "load_balancer_tls: off",
            "line 1: load_balancer_tls: found False; allowed: none or cluster or own",
        ),
        (
            "load_balancer_tls: own\nload_balancer_tls_certificate_file: a.pem",
            "line 1: load_balancer_tls_key_file: it is missing; load_balancer_tls: own takes a "
            "certificate and its key",
        ),
        (
            "agents_max: 50\nport_app: 2222",
            "line 2: port_app: application of agent-1 and ssh to control-1 (port_ssh) "
            "would both be at 2223",
        ),
        (
            "port_ssh: 65533",
            "line 1: port_ssh: ssh to agent-3 would be at 65536; the highest port is 65535",
        ),
        ("application_env: 3", "line 1: application_env: found 3; allowed: names and values"),
        (
            "application_env:\n  A B: x",
            "line 1: application_env: found the name 'A B'; allowed: the name of an environment "
            "variable (letters, digits and _)",
        ),
        (
            "application_env: {DAY: 2030-01-01}",
            "line 1: application_env.DAY: found a date; allowed: text, a number, true or false",
        ),
    ],
)
def test_a_mistake_is_one_line_with_place_key_found_and_allowed(text: str, line: str) -> None:
    if "'a\nb'" in text:  # as YAML spells a line break
        text = text.replace("'a\nb'", '"a\\nb"')
    if "port_ssh: 65533" in text or "port_app: 2222" in text:
        assert complaints(text)[0] == f"my/cluster.yml: {line}"
    else:
        assert complaint(text) == f"my/cluster.yml: {line}"


def test_every_mistake_is_told_at_once() -> None:
    assert len(complaints("agents_max: x\nagent_cpus: 0\nnonsense: 1\n")) == 3


def test_a_clash_of_ports_is_told_once_and_not_for_every_agent() -> None:
    assert len(complaints("agents_max: 50\nport_app: 2230")) == 1


@pytest.mark.parametrize("text", ["- a", "just text", "3"])
def test_a_document_that_is_no_mapping(text: str) -> None:
    assert "expected keys such as 'agents_max: 4'" in complaint(text)


def test_secrets_stay_out_of_messages() -> None:
    url = "datastore_postgres_url: mysql://user:pa/ss@word@host/db"
    assert "pa/ss" not in complaint(url)
    assert "word" not in complaint(url)
    assert "host" in complaint(url)
    assert "hunter2" not in complaint("application_env: {PASSWORD: [hunter2]}")


def test_a_long_value_is_cut() -> None:
    assert len(complaint(f"cluster_name: {'x' * 5000}")) < 250


def test_merge_keys_of_yaml_work() -> None:
    text = "application_env: &env {A: one}\n"
    assert parse_config(text).application_env == {"A": "one"}
    assert parse_config("<<: {agents_max: 3}").agents_max == 3


def test_nesting_without_end() -> None:
    assert complaint("[" * 1000) == "my/cluster.yml: is nested too deeply"


def test_usage_errors_have_their_exit_code() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config("agents_max: x")
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "cluster.yml"
    with pytest.raises(UsageError, match=r"cluster\.yml: cannot be read: No such file"):
        load_config(missing)
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path)
    missing.write_bytes(b"cluster_name: \xff\n")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        load_config(missing)


def test_the_machines_and_ports_of_a_cluster() -> None:
    config = parse_config("agents_max: 2")
    assert config.server_names == ["control-1", "agent-1", "agent-2"]
    ports = config.host_ports()
    assert ports["ssh to control-1"] == 2223
    assert ports["ssh to agent-2"] == 2225
    assert ports["application of agent-1"] == 5001
    assert ports["metrics of agent-2"] == 5102
    assert len(set(ports.values())) == len(ports) == 5 + 3 * 2


def test_every_port_key_is_known_by_what_uses_it() -> None:
    assert set(PORT_KEYS.values()) == {key for key in KEYS if key.startswith("port_")}


def test_the_schema_describes_every_key() -> None:
    schema = json.loads(json_schema())
    assert sorted(schema["properties"]) == KEYS
    assert schema["additionalProperties"] is False


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
YAMLISH = st.text(alphabet=st.sampled_from("ab01-_:.[]{}&*!|>'\"%@# \n\t~<?,=éx"), max_size=60)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), YAMLISH))
@example("a: !!int ''")
@example("a: !!timestamp x")
@example("a: !!bool x")
@example("a: !!float x")
@example("agents_max: 0x" + "f" * 9000)
@example("agents_max: " + "9" * 9000)
@example("? [a]\n: 1")
@example("? {a: b}\n: 1")
@example("a: &a [*a]")
@example("cluster_name: &a {b: *a}")
@example("null: 1\ntrue: 2\n2030-01-01: 3")
@example("!<%0A> a")
@example("%YAML 9.9\n---\na: 1")
@example("\ud800")
def test_any_text_is_a_configuration_or_a_usage_error(text: str) -> None:
    try:
        assert isinstance(parse_config(text), ClusterConfig)
    except UsageError as error:
        assert all(line.startswith("cluster.yml: ") for line in error.message.split("\n"))


@settings(deadline=None)
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), SCALARS), VALUES, max_size=4))
def test_any_document_is_a_configuration_or_a_usage_error(document: dict[object, object]) -> None:
    import yaml

    try:
        assert isinstance(parse_config(yaml.safe_dump(document)), ClusterConfig)
    except UsageError as error:
        assert all(line.startswith("cluster.yml: ") for line in error.message.split("\n"))


def test_policies_with_options() -> None:
    good = "scaling_policies:\n  - policy: target_tracking\n    target: 55\n"
    assert parse_config(good).scaling_policies == [{"policy": "target_tracking", "target": 55}]
    for text, message in (
        (
            "scaling_policies:\n  - target: 55\n",
            "scaling_policies[0]: found {'target': 55}; allowed: the key 'policy'",
        ),
        ("scaling_policies: threshold\n", "scaling_policies: found 'threshold'"),
        (good.replace("target:", "tarjet:"), "line 1: scaling_policies[0]: target_tracking: unk"),
        ("scaling_policy: oracle\n", "scaling_policy: found 'oracle', which is not installed"),
    ):
        with pytest.raises(UsageError) as caught:
            parse_config(text)
        assert message in caught.value.message
