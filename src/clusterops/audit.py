# SPDX-License-Identifier: GPL-3.0-or-later
"""Known vulnerabilities of the locked packages, as pip-audit reports them.

pip-audit is content where nobody could tell it anything: a package that its source does not know is
skipped, and "no known vulnerabilities" follows. Here that counts as not checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from clusterops.errors import ClusterOpsError


@dataclass(frozen=True)
class Report:
    """What is known of the packages of one lock."""

    checked: int
    vulnerable: tuple[str, ...]
    """One line each: package, version, identifiers, and the versions in which it is mended."""
    unchecked: tuple[str, ...]
    """Names of packages of which nothing could be found out."""

    @property
    def passed(self) -> bool:
        return not self.vulnerable and not self.unchecked and self.checked > 0


def read_report(text: str) -> Report:
    """The JSON that pip-audit prints.

    Raises:
        ClusterOpsError: it is not that.
    """
    try:
        packages = json.loads(text)["dependencies"]
        unchecked = tuple(each["name"] for each in packages if "skip_reason" in each)
        known = [each for each in packages if "skip_reason" not in each]
        vulnerable = tuple(
            f"{each['name']} {each['version']}: {problem['id']}"
            + (
                f" (mended in {', '.join(problem['fix_versions'])})"
                if problem["fix_versions"]
                else ""
            )
            for each in known
            for problem in each["vulns"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterOpsError(f"pip-audit gave no report: {text.strip()[-300:]}") from error
    return Report(len(known), vulnerable, unchecked)


def describe(lock: str, report: Report) -> list[str]:
    """What a person reads of a report."""
    total = report.checked + len(report.unchecked)
    lines = [f"VULNERABLE   {lock}: {line}" for line in report.vulnerable]
    if report.unchecked:
        some = ", ".join(report.unchecked[:5]) + (" …" if len(report.unchecked) > 5 else "")
        lines.append(
            f"NOT CHECKED  {lock}: {len(report.unchecked)} of {total} packages ({some}): "
            "the package index here tells nothing of vulnerabilities"
        )
    if report.passed:
        lines.append(f"ok           {lock}: {total} packages without a known vulnerability")
    elif not total:
        lines.append(f"NOT CHECKED  {lock}: no package was looked at")
    return lines
