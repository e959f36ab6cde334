# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads cluster.yml, and says in one line each what is wrong in it."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from clusterops.config import ClusterConfig
from clusterops.errors import UsageError


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
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "is not valid YAML"
        raise UsageError(f"{source}:{where} {_one_line(problem)}") from error
    except RecursionError as error:
        raise UsageError(f"{source}: is nested too deeply") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UsageError(
            f"{source}: found a {type(data).__name__}, expected keys such as 'agents_max: 4'"
        )
    try:
        return ClusterConfig.model_validate(data)
    except ValidationError as error:
        lines = _describe(error, _key_lines(text))
        raise UsageError("\n".join(f"{source}: {line}" for line in lines)) from error


class _Loader(yaml.SafeLoader):
    """A SafeLoader whose every complaint is a YAMLError with a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # PyYAML recognises a date or a number by its form only: 2030-13-45 is one.
            kind = str(node.tag).rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"found something that is not a valid {kind}; quotes make it text",
                problem_mark=node.start_mark,
            ) from error


def _unique_keys(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    """YAML keeps the last of two equal keys in silence; a user would never see why."""
    seen: set[str] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
            continue
        if key_node.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key '{key_node.value}' is given twice", problem_mark=key_node.start_mark
            )
        seen.add(key_node.value)
    return loader.construct_mapping(node)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_keys)


def _describe(error: ValidationError, key_lines: dict[str, int]) -> list[str]:
    """One line for each problem: line, key, what was found, what is allowed."""
    problems: list[str] = []
    for problem in error.errors():
        location = [_one_line(str(part)) for part in problem["loc"]]
        found = problem.get("input")
        if not location:
            problems += str(problem["ctx"]["error"]).split("\n")
        elif location[0] not in ClusterConfig.model_fields:
            close = difflib.get_close_matches(location[0], ClusterConfig.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "see cluster.schema.json for all"
            problems.append(f"{location[0]}: unknown key; {hint}")
        elif len(location) == 1:
            allowed = _allowed(location[0]) or problem["msg"]
            problems.append(f"{location[0]}: found {_shown(found)}; allowed: {allowed}")
        elif location[0] == "scaling_policies":
            problems.append(
                f"scaling_policies[{location[1]}]: found {_shown(found)}; "
                "allowed: the key 'policy' with a policy's name, and its options"
            )
        elif location[-1] == "[key]":
            problems.append(
                f"{location[0]}: found the name {_shown(found)}; allowed: the name of an "
                "environment variable (letters, digits and _)"
            )
        else:  # a value of application_env may be a secret: its kind is enough
            problems.append(
                f"{location[0]}.{location[1]}: found {_kind(found)}; "
                "allowed: text, a number, true or false"
            )
    return [_line_of(problem, key_lines) + problem for problem in dict.fromkeys(problems)]


def _key_lines(text: str) -> dict[str, int]:
    """Line of every key at the top."""
    root = yaml.compose(text, Loader=_Loader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return {
        _one_line(key.value): key.start_mark.line + 1
        for key, _ in pairs
        if isinstance(key, yaml.ScalarNode)
    }


def _line_of(problem: str, key_lines: dict[str, int]) -> str:
    """The line of the key in front, or else of another key that the problem names."""
    front = problem.partition(": ")[0]
    for key in (front, front.partition(".")[0], *re.findall(r"\b[a-z]+_[a-z_]+\b", problem)):
        if key in key_lines:
            return f"line {key_lines[key]}: "
    return ""


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _shown(value: object) -> str:
    """A value as it was found, cut to a readable length and without a URL's password."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    try:
        text = short.repr(value)
    except ValueError:  # thousands of digits
        return "a number of thousands of digits"
    return "nothing" if value is None else re.sub(r"://.*@", "://***@", text)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _allowed(key: str) -> str:
    """What a key may hold, in words, out of the schema."""
    schema = ClusterConfig.model_json_schema()["properties"][key]
    options = schema.get("anyOf", [schema])
    kinds = {
        "number": "a number",
        "integer": "a whole number",
        "string": "text",
        "object": "names and values",
        "null": "nothing",
    }
    words: list[str] = []
    for option in options:
        kind = kinds.get(option.get("type", ""), "")
        low, high = option.get("minimum"), option.get("maximum")
        if low is not None and high is not None:
            kind += f" from {low:g} to {high:g}"
        if "pattern" in option:
            kind += f" like {option['pattern']}"
        if "enum" in option:
            kind = " or ".join(option["enum"])
        if option.get("format") == "ipv4":
            kind = "an IPv4 address such as 127.0.0.1"
        words.append(kind)
    return " or ".join(dict.fromkeys(word for word in words if word))
