# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``./playground load --profile`` shows: this second, and the end of the run in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clusterops.cli import output
from clusterops.load.open_options import OpenOptions
from clusterops.load.profiles import Profile

if TYPE_CHECKING:
    from rich.console import Group

Json = dict[str, Any]
_BOLD = ("Answers/s", "Requests/s")


def screen(line: Json, rates: list[float], options: OpenOptions, profile: Profile) -> Group:
    """The live view of one second."""
    return second_view(
        f"{options.url}   {profile.name}   {line['t']:.0f} of {profile.duration_s:g} s",
        {
            "Profile": curve(profile, line["t"]),
            "Wanted/s": f"{line['rate_wanted']:g}",
            "Answers/s": f"{line['rps']:<8} {output.sparkline(rates)}",
            "Waiting": str(line["users"]),
            "Latency": f"{latency(line)}   from when each request was due",
        },
        line,
    )


def second_view(head: str, rows: Mapping[str, str], line: Json) -> Group:
    """The live view of one second: what differs between generators, and what all of them tell."""
    from rich.console import Group
    from rich.text import Text

    failures = int(line["failures"])
    served = ", ".join(f"{name} {count}" for name, count in line.get("served_by", {}).items())
    parts = [Text(f"{head}   Ctrl-C ends it"), Text("")]
    for name, words in rows.items():
        parts.append(Text(f"{name:<11} {words}", style="bold" if name in _BOLD else ""))
    parts += [
        Text(f"Requests    {line['requests']}"),
        Text(f"Failures    {failures}", style="bold red" if failures else "green"),
    ]
    if served:
        parts.append(Text(f"Served by   {served}"))
    return Group(*parts)


def curve(profile: Profile, now: float, width: int = 60) -> str:
    """The profile in one line, with a mark where it is now."""
    step = profile.duration_s / width
    rates = [profile.at((place + 0.5) * step) for place in range(width)]
    drawn = output.sparkline(rates)
    place = min(int(now / step), width - 1)
    return f"{drawn[:place]}|{drawn[place + 1 :]}"


def second_text(line: Json) -> str:
    """One second in one line."""
    return (
        f"{line['t']:5.0f} s  {line['rate_wanted']:g} wanted  {line['rps']:g} requests/s  "
        f"{latency(line)}  {line['failures']} failures"
    )


def headline(totals: Json) -> str:
    """A run in one line."""
    share = totals["failures"] / totals["requests"] * 100 if totals["requests"] else 0.0
    return (
        f"{totals['requests']} requests in {totals['duration_s']:g} s: "
        f"{totals['failures']} failures ({share:.2g} %), {latency(totals['latency_ms'])}"
    )


def totals_text(totals: Json, profile: Profile) -> str:
    """The end of a run in words."""
    statuses = ", ".join(f"{status}: {count}" for status, count in totals["statuses"].items())
    lines = [
        f"{profile.name}: {totals['requests']} requests in {totals['duration_s']:g} s, "
        f"{totals['requests_per_s']:g} requests/s",
        f"Latency   {latency(totals['latency_ms'])}",
        "          from when each request was due, sent or not: what visitors wait "
        "(coordinated omission corrected)",
        f"Service   {latency(totals['service_time_ms'])}",
        "          from when it was sent: what a client that waits for its answers would tell",
        f"Statuses  {statuses or 'none'}",
    ]
    if totals.get("served_by"):
        served = ", ".join(f"{name}: {count}" for name, count in totals["served_by"].items())
        lines.append(f"Served by {served}")
    lines.append(f"Failures  {totals['failures']}")
    lines += [f"  {each['count']:>6} x {each['error']}" for each in totals["errors"]]
    late = totals["generator_late_ms"]
    if not totals["generator_kept_up"]:
        lines.append(
            f"Note: the generator was late by up to {late['max'] / 1000:.2g} s (one request of a "
            f"hundred by {late['p99'] / 1000:.2g} s). That is in the latencies: ask for less, or "
            "read the service times."
        )
    if totals["not_sent"]:
        lines.append(
            f"Note: {totals['not_sent']} requests were due and not sent, because too many waited "
            "for an answer (--outstanding). They are failures, and not in the latencies."
        )
    return "\n".join(lines)


def latency(figures: Json) -> str:
    """Percentiles in one line."""
    return "  ".join(
        f"{name} {'-' if figures.get(name) is None else format(figures[name], '.1f')} ms"
        for name in ("p50", "p90", "p95", "p99", "p99.9", "max")
        if name in figures
    )
