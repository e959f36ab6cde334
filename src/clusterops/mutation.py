# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutation testing: does a test fail when the code decides or reads something else?

mutmut changes one thing at a time in a copy of the code, and runs the tests that touch it. What
survives is either a test that is missing, or listed in tests/mutation/accepted.toml with the
reason why no test can, or needs to, tell it apart.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterops.errors import ClusterOpsError, UsageError

ACCEPTED = "tests/mutation/accepted.toml"
MUTATED = (
    "src/clusterops/scaler/bounds.py",
    "src/clusterops/scaler/guards.py",
    "src/clusterops/scaler/policies/combined.py",
    "src/clusterops/scaler/policies/loads.py",
    "src/clusterops/scaler/policies/scheduled.py",
    "src/clusterops/scaler/policies/step.py",
    "src/clusterops/scaler/policies/target_tracking.py",
    "src/clusterops/scaler/policies/threshold.py",
    "src/clusterops/virtualbox/_vboxmanage.py",
    "src/clusterops/virtualbox/_vboxmanage_errors.py",
    "src/clusterops/virtualbox/_vboxmanage_long.py",
    "src/clusterops/virtualbox/_vboxmanage_pairs.py",
)
"""The scaler's policies and guards, and the parser of what VBoxManage prints."""
TESTS = (  # none that draws hundreds of examples: each takes as long as all others together
    "tests/unit/scaler/policies/test_combined.py",
    "tests/unit/scaler/policies/test_conformance.py",
    "tests/unit/scaler/policies/test_installed.py",
    "tests/unit/scaler/policies/test_loads.py",
    "tests/unit/scaler/policies/test_scheduled.py",
    "tests/unit/scaler/policies/test_step.py",
    "tests/unit/scaler/policies/test_target_tracking.py",
    "tests/unit/scaler/policies/test_threshold.py",
    "tests/unit/scaler/test_bounds.py",
    "tests/unit/scaler/test_decide.py",
    "tests/unit/scaler/test_guards.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_errors.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_long.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_odd.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_pairs.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_parts.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_samples.py",
    "tests/unit/plugins/module_utils/test_vboxmanage_silent.py",
)
TEXTS = (r"^\s*raise \w+\(", r"^\s*f?\"")
"""Lines that are the words of an error, or a part of a longer text, are left as they are."""
COPIED = (
    "src/clusterops",
    "tests/unit/conftest.py",
    "tests/unit/plugins/module_utils",
    "tests/unit/scaler",
    "tests/policy_conformance.py",
)
_COLLECTION = "ansible_collections.clusterops.playground.plugins.module_utils"
"""The same files under another name; one name is enough to change them."""
_PYTEST = (  # without what pytest does more than run tests: it takes longer than most of these
    "--import-mode=importlib",
    "--disable-plugin-autoload",
    *("-p", "no:cacheprovider"),
    *("-p", "no:threadexception"),
    *("-p", "no:unraisableexception"),
)
_SETTINGS = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = {mutated}
do_not_mutate_patterns = {texts}
also_copy = ["conftest.py"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = {arguments}

[tool.pytest.ini_options]
pythonpath = ["."]
"""
_CONFTEST = '''\
"""The same examples each time, and fewer: a change is tried with all that touch it."""

from hypothesis import settings

settings.register_profile("mutation", max_examples=25, derandomize=True, database=None)
settings.load_profile("mutation")
'''


@dataclass(frozen=True)
class Mutant:
    """One change: a line (or several, joined by ⏎) of a function, and what it became."""

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.function}: {self.before}  →  {self.after}"


@dataclass(frozen=True)
class Verdict:
    """What is wrong after a run: survivors that nobody accepted, and accepted ones that died."""

    survivors: tuple[Mutant, ...]
    stale: tuple[Mutant, ...]

    @property
    def passed(self) -> bool:
        return not self.survivors and not self.stale


def prepare(root: Path, folder: Path) -> None:
    """A copy of what mutmut needs in ``folder``, links as files: it changes them."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in COPIED:
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for path in folder.glob("tests/**/*.py"):
        text = path.read_text(encoding="utf-8")
        if _COLLECTION in text:
            path.write_text(text.replace(_COLLECTION, "clusterops.virtualbox"), encoding="utf-8")
    settings = _SETTINGS.format(
        mutated=json.dumps(MUTATED),
        tests=json.dumps(TESTS),
        texts=json.dumps(TEXTS),
        arguments=json.dumps(_PYTEST),
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")


def read_accepted(text: str) -> dict[Mutant, str]:
    """Mutants that may survive, with the reasons.

    Raises:
        UsageError: an entry without one of its keys, twice there, or without a reason.
    """
    found: dict[Mutant, str] = {}
    for entry in tomllib.loads(text).get("accepted", []):
        try:
            mutant = Mutant(entry["function"], entry["before"], entry["after"])
            reason = entry["reason"].strip()
        except (KeyError, AttributeError) as error:
            raise UsageError(
                f"{ACCEPTED}: {entry}: needs function, before, after and reason"
            ) from error
        if not reason or mutant in found:
            raise UsageError(f"{ACCEPTED}: {mutant}: {'is there twice' if reason else 'no reason'}")
        found[mutant] = reason
    return found


def read_survivors(text: str) -> list[Mutant]:
    """What tests/mutation/survivors.py prints.

    Raises:
        ClusterOpsError: it is not that.
    """
    try:
        return [_mutant(one) for one in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterOpsError(f"mutmut left no results: {text.strip()[-300:]}") from error


def judge(survivors: Iterable[Mutant], accepted: Mapping[Mutant, str]) -> Verdict:
    """Which survivors nobody accepted, and which accepted ones did not survive."""
    alive = list(dict.fromkeys(survivors))
    return Verdict(
        tuple(one for one in alive if one not in accepted),
        tuple(one for one in accepted if one not in alive),
    )


def _mutant(entry: Mapping[str, Any]) -> Mutant:
    lines: Sequence[str] = entry["diff"].splitlines()
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    before, after = (
        " ⏎ ".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in "-+"
    )
    return Mutant(_function(entry["name"]), before, after)


def _function(name: str) -> str:
    """``package.module.x_f__mutmut_3`` as package.module.f; methods with their class."""
    module, _, key = name.partition("__mutmut_")[0].rpartition(".")
    own = key.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in key else key.removeprefix("x_")
    return f"{module}.{own}"
