# SPDX-License-Identifier: GPL-3.0-or-later
"""The file: it is whole, alone, and has no secret in it."""

from __future__ import annotations

import re
from datetime import UTC
from html.parser import HTMLParser

from clusterops.report.page import figures, marks, numbers, page
from clusterops.report.run import Run, load_from
from tests.unit.report.builders import END, START, load_document, run

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checker(HTMLParser):
    """Every element is closed in its place; what it says and refers to is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.refers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.refers += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += f" {data}"


def checked(found: Run) -> Checker:
    checker = Checker()
    checker.feed(page(found, made_at=END + 60, zone=UTC))
    checker.close()
    assert checker.open == []
    return checker


def test_the_page_tells_what_happened() -> None:
    text = " ".join(checked(run()).text.split())
    for fact in (
        "Run of mine, 2026-11-25", "2026-11-25 22:00:00 to 22:10:00 (UTC), 10 min on docker",
        "The cluster grew from 1 to 2 agents at 22:03:00, because average CPU 85 % is above 70 %",
        "1 → 2", "cpu above 70 (it was 85)", "14 s", "scale_up took 13 s", "it is silent",
        "up above 70 %", "agents_max 3", "playground 0.1.0", "spike", "60000",
        "Latency at the client, ms", "CPU of each agent, %",
    ):  # fmt: skip
        assert fact in text, fact


def test_it_needs_nothing_else() -> None:
    text = page(run(), made_at=END)
    checker = checked(run())
    assert checker.refers == []
    assert not {"script", "link", "img", "iframe", "object"} & set(checker.found)
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import", text)
    outside = set(re.findall(r"https?://[^\"'<\s]+", text))
    assert outside <= {"http://www.w3.org/2000/svg", "http://127.0.0.1:8080"}
    assert len(text) < 300_000


def test_it_has_no_secret() -> None:
    text = page(run(), made_at=END)
    assert "hunter2" not in text
    assert "hunter3" not in text
    assert "API_KEY (hidden)" in text


def test_nothing_that_was_recorded_is_markup() -> None:
    found = run()
    evil = "<script>alert(1)</script>"
    found.events[0]["message"] = evil
    found.cluster = evil
    found.load = load_from(load_document(profile=evil))
    found.agent_cpu = {evil: [(START, 1.0)], "agent-1": [(START, 1.0)]}
    checker = checked(found)
    assert "script" not in checker.found
    assert evil in checker.text


def test_a_time_without_anything_is_a_page_too() -> None:
    found = Run(START, END, "mine", "docker", missing=["Nobody answered."])
    text = checked(found).text
    assert "There were none." in text
    assert "What is missing here" in text
    assert "Nobody answered." in text


def test_charts_carry_the_changes_and_what_went_wrong() -> None:
    assert [(mark.label, mark.kind) for mark in marks(run())] == [
        ("1", "mark up"), ("2", "mark down"), ("!", "mark bad"),
    ]  # fmt: skip


def test_thresholds_are_those_of_the_policy_in_force() -> None:
    def cpu(found: Run) -> str:
        return next(
            str(each.drawing) for each in figures(found, UTC) if each.title.startswith("CPU of the")
        )

    assert "down below 30 %" in cpu(run())
    found = run()
    found.settings = [one for one in found.settings if one.key != "scaling_policy"]
    from clusterops.report.run import Setting

    found.settings.append(Setting("scaling_policy", "step", False, "step"))
    assert "down below 30 %" not in cpu(found)


def test_the_head_has_the_numbers_that_matter() -> None:
    told = {number.words: (number.value, number.bad) for number in numbers(run())}
    assert told["requests"] == ("65,800", False)
    assert told["agents in service"] == ("1 to 2", False)
    assert told["p99, most of the time"] == ("40", False)
    broken = run(errors=[(START + second, 50.0) for second in range(0, 600, 10)])
    assert {n.words: n.bad for n in numbers(broken)}["errors (5xx)"] is True


def test_dark_paper_is_nobodys_wish() -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in page(run(), made_at=END)
