# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy to try out: the scaling keys of cluster.yml, there or in a file of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from clusterops.errors import UsageError
from clusterops.scaler.model import Limits
from clusterops.scaler.policies import policy_from
from clusterops.scaler.policy import Policy
from clusterops.scaler.settings import ScalerSettings, settings_from

PREFIXES = ("agents_", "scaling_", "scale_")


@dataclass(frozen=True, slots=True)
class Trial:
    """A policy with its limits, under the name of its file."""

    name: str
    policy: Policy
    limits: Limits
    settings: ScalerSettings


def load_trial(path: Path) -> Trial:
    """Read a policy file; what it leaves out has cluster.yml's defaults.

    Keys of cluster.yml that are not about scaling are passed over, so cluster.yml itself is one.

    Raises:
        UsageError: one line that names the file, the key, and what is allowed.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds no keys such as 'scaling_policy: threshold'")
    keys = {key: value for key, value in data.items() if str(key).startswith(PREFIXES)}
    if not keys:
        raise UsageError(
            f"{path}: has no key about scaling",
            remedy="give it keys of cluster.yml such as 'scaling_policy: threshold'",
        )
    settings = settings_from({**keys, "server_manager_url": "http://nowhere:1"}, str(path))
    return Trial(path.stem, policy_from(settings.model_dump()), settings.limits, settings)
