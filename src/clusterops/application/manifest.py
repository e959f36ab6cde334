# SPDX-License-Identifier: GPL-3.0-or-later
"""app.yml: what the cluster has to know about an application, and nothing else."""

from __future__ import annotations

import json
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from clusterops.application.values import as_text
from clusterops.config import VariableName
from clusterops.errors import UsageError

MANIFEST = "app.yml"
UNFIT_VALUE = re.compile(r"[\n\r\0']|\\\Z")

UrlPath = Annotated[str, Field(pattern=r"^/[\w./?=&-]*$")]


def _inside(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("must stay inside the source, without '..'")
    return path


RelativePath = Annotated[str, Field(pattern=r"^[^/~][^~]*$", min_length=1)]
InnerPath = Annotated[RelativePath, AfterValidator(_inside)]
DatastoreValue = Literal["datastore.postgres_url", "datastore.redis_url", "datastore.ca_file"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, title="app.yml")


class Build(_Strict):
    """How the image is built, relative to the application's folder."""

    context: InnerPath = Field(".", description="Folder that the build may copy from.")
    dockerfile: InnerPath = Field("Dockerfile", description="How the image is made.")
    base_image: str | None = Field(None, description="Image the Dockerfile starts from.")
    base_image_arg: str = Field("BASE_IMAGE", description="Build argument that overrides it.")


class Source(_Strict):
    """Where the application's source is: a folder, or a git repository."""

    path: RelativePath = Field(".", description="Folder, relative to app.yml.")
    git: str | None = Field(
        None,
        pattern=r"^(https?|ssh|git|file)://\S+$|^[\w.-]+@[\w.-]+:\S+$",
        description="Repository that the control node clones for a build; it is in the folder "
        "source of the build's context, beside the files of this folder.",
    )
    ref: str = Field(
        "HEAD", pattern=r"^[\w./@+][\w./@+-]*$", description="Its branch, tag or commit."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Source:
        if self.git and self.path != ".":
            raise ValueError("path and git exclude each other")
        return self


class Default(_Strict):
    """A value for a variable that cluster.yml may override."""

    default: str | int | float | bool


class Manifest(_Strict):
    """The content of an app.yml."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")] = Field(
        description="Its name, also that of its database and user."
    )
    source: Source = Field(default_factory=lambda: Source.model_validate({}))
    compose_file: InnerPath = Field("compose.yml", description="What agents run.")
    build: Build = Field(default_factory=lambda: Build.model_validate({}))
    port: int = Field(5000, ge=1, le=65535, description="The port that an agent publishes.")
    health_path: UrlPath = Field("/health", description="Answers 200 while the process lives.")
    ready_path: UrlPath = Field(
        "/ready", description="Answers 200 when it can serve; only then an agent gets requests."
    )
    metrics_path: UrlPath | None = Field(
        None, description="Where it tells Prometheus its own metrics; leave out for none."
    )
    migration_service: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9][\w-]*$",
        description="Compose service that is run once for each release; leave out for none.",
    )
    checks: RelativePath | None = Field(
        None,
        description="Folder of tests of its HTTP interface, relative to app.yml, for "
        "./playground app check.",
    )
    environment: dict[VariableName, DatastoreValue | Default | None] = Field(
        default_factory=dict,
        description="Variables it needs: a value of the datastore, a default, or nothing, which "
        "means that cluster.yml must give the value under application_env.",
    )


def load_manifest(folder: Path) -> Manifest:
    """Read and check the app.yml in ``folder``; validation.py looks at the other files, too.

    Raises:
        UsageError: one line per problem with file, key, what was found and what is allowed.
    """
    manifest, problems = read_manifest(folder)
    if manifest is None:
        path = folder / MANIFEST
        remedy = None if path.is_file() else "application_path names a folder with an app.yml"
        raise UsageError("\n".join(f"{path}: {problem}" for problem in problems), remedy=remedy)
    return manifest


def read_manifest(folder: Path) -> tuple[Manifest | None, list[str]]:
    """The app.yml in ``folder``, or everything that is wrong with it, one line each."""
    try:
        data = yaml.safe_load((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, ["not found"]
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        return None, [f"cannot be read: {' '.join(str(error).split())}"]
    try:
        return Manifest.model_validate(data), []
    except ValidationError as error:
        return None, list(dict.fromkeys(_describe(problem) for problem in error.errors()))


def manifest_schema() -> str:
    """The JSON Schema of app.yml, for editors."""
    return json.dumps(Manifest.model_json_schema(), indent=2) + "\n"


def _describe(problem: Any) -> str:
    """One problem of pydantic's in words: key, what was found, what is allowed."""
    location = [str(part) for part in problem["loc"]]
    if not location:
        return f"expected keys such as 'name: fibonacci', found a {_kind(problem['input'])}"
    if location[0] == "environment" and len(location) > 1 and location[-1] != "[key]":
        return (
            f"environment.{location[1]}: allowed: {', '.join(get_args(DatastoreValue))}, "
            "{default: VALUE}, or nothing"
        )
    key = ".".join(location)
    if problem["type"] == "missing":
        return f"{key}: is missing"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    return f"{key}: found {reprlib.repr(problem['input'])}; {problem['msg']}"


def _kind(value: object) -> str:
    return "file without content" if value is None else type(value).__name__


def resolve_environment(
    manifest: Manifest, values: dict[str, str], datastore: dict[str, str]
) -> dict[str, str]:
    """The environment of a release: cluster.yml's values, the datastore's, then defaults.

    Args:
        values: application_env of cluster.yml.
        datastore: ``datastore.postgres_url`` and so on, where there is a datastore.

    Raises:
        UsageError: names every variable that has no value, or one that no environment file holds.
    """
    environment = dict(values)
    missing: list[str] = []
    for name, value in manifest.environment.items():
        if name in environment:
            continue
        if isinstance(value, Default):
            environment[name] = as_text(value.default)
        elif value is not None and value in datastore:
            environment[name] = datastore[value]
        else:
            missing.append(name)
    if missing:
        raise UsageError(
            f"application {manifest.name} needs {', '.join(missing)}",
            remedy="give it under application_env in cluster.yml",
        )
    unfit = [name for name, value in environment.items() if UNFIT_VALUE.search(value)]
    if unfit:
        raise UsageError(
            f"application {manifest.name}: the value of {', '.join(unfit)} has a line break, "
            "a single quote or a backslash at its end",
            remedy="an environment file cannot hold that; encode the value, for example in Base64",
        )
    return environment
