# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard in a real browser: what it shows, how it is used, and what it survives."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.integration.dashboard.scene import READ_TOKEN, TOKEN, Scene

pytestmark = pytest.mark.integration
Open = Callable[..., Page]
Make = Callable[..., Scene]
DASH = "\N{EN DASH}"


def status(scene: Scene) -> dict[str, Any]:
    with urllib.request.urlopen(f"{scene.url}/api/v1/status", timeout=5) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def unlock(page: Page, token: str = TOKEN) -> None:
    page.fill("#control-token", token)
    page.click("#unlock button")


def live(page: Page) -> None:
    expect(page.locator("#link-word")).to_have_text("live")
    expect(page.locator("#serving")).not_to_have_text(DASH)


# --- what it shows ---------------------------------------------------------------------------


def test_it_shows_what_the_api_says(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url)
    live(page)
    said = status(scene)
    expect(page.locator("#name")).to_have_text(said["cluster"])
    expect(page.locator("#serving")).to_have_text("2")
    expect(page.locator("#wanted")).to_have_text(f"2 wanted, 1{DASH}6 allowed")
    expect(page.locator("#application")).to_contain_text(said["application"]["name"])
    rows = page.locator("#agents tbody tr")
    expect(rows).to_have_count(len(said["agents"]))
    for row, agent in zip(rows.all(), said["agents"], strict=True):
        expect(row.locator("th")).to_have_text(agent["name"])
        word = "in service" if agent["in_service"] else "off"
        expect(row.locator(".state")).to_have_text(word)
    # The picture has the same agents, and places for those that may come.
    cards = page.locator(".picture .agent")
    expect(cards).to_have_count(6)
    states = cards.evaluate_all("all => all.map(one => one.dataset.state)")
    assert states.count("serving") == 2 and states.count("empty") >= 3
    expect(page.locator(".beads:not(.none)")).to_have_count(3)  # clients, and two agents
    # Rules with their limits, as lines and as gauges.
    expect(page.locator(".limits")).to_contain_text(["more above 70 % CPU"])
    expect(page.locator("#gauges")).to_contain_text("fewer below 30 %, more above 70 %")
    assert page.locator(".flag").count() > 3, "the past hour had changes"
    assert page.locator("#log > li").count() > 10
    for chart in ("load-cpu", "latency-p95_ms", "requests-requests_per_s", "agents-wanted"):
        assert len(page.locator(f"path.{chart}").get_attribute("d") or "") > 500, chart


def test_agents_come_and_go_before_ones_eyes(make_scene: Make, open_page: Open) -> None:
    scene = make_scene(serving=1, step_s=0.5, rate=120)
    page = open_page(scene.url)
    live(page)
    scene.load = lambda _at: 320.0
    began = time.monotonic()
    expect(page.locator('.agent[data-state="starting"]')).to_have_count(1)
    expect(page.locator("#doing")).to_contain_text("Adding agent-2: ")
    expect(page.locator(".wire.busy").first).to_be_attached()
    expect(page.locator("#serving")).to_have_text("2", timeout=20_000)
    print(f"an agent came within {time.monotonic() - began:.1f} s")
    assert {agent["name"] for agent in status(scene)["agents"] if agent["in_service"]} == {
        "agent-1",
        "agent-2",
    }
    page.check("input[name=log][value=changes]", force=True)
    told = page.locator("#log")
    expect(told).to_contain_text("1 more: 2 agents wanted instead of 1")
    expect(told).to_contain_text(re.compile(r"CPU \d+ % is above 70 %"))
    expect(page.locator("#announce")).not_to_be_empty()
    # Load that is gone: warm-up or cooldown keeps the agent for a while, and the page says so.
    scene.load = lambda _at: 5.0
    expect(page.locator("#guard")).to_contain_text("Guard: ")
    expect(page.locator("#headline")).to_contain_text("Would like fewer agents, but waits")


def test_what_changes_is_seen_within_a_second(make_scene: Make, open_page: Open) -> None:
    scene = make_scene()
    page = open_page(scene.url)
    live(page)
    page.evaluate(
        "new MutationObserver(() => { window.changedAt ??= document.getElementById('mode')"
        ".textContent === 'paused' ? Date.now() : undefined; })"
        ".observe(document.getElementById('mode'), {childList: true, characterData: true})"
    )
    began = time.time()
    scene.call(lambda: scene.controller.ledger.pause(True))
    expect(page.locator("#mode")).to_have_text("paused")
    seconds = page.evaluate("window.changedAt") / 1000 - began
    print(f"seen after {seconds:.2f} s")
    assert seconds < 3, "one second is promised; a busy machine has two more"


def test_jobs_are_told_by_the_stream(make_scene: Make, open_page: Open) -> None:
    scene = make_scene()
    scene.watch.jobs = [
        {
            "kind": "deploy",
            "state": "failed",
            "started_at": "2026-01-31T14:05:30Z",
            "ended_at": "2026-01-31T14:05:50Z",
            "arguments": {"application": "apps/whoami"},
            "progress": {},
            "message": "it was not ready in time",
        }
    ]
    page = open_page(scene.url)
    page.route("**/api/v1/jobs", lambda route: route.abort())
    live(page)
    unlock(page)
    told = page.locator("#deploy-now")
    expect(told).to_have_text("Deploying apps/whoami: failed · it was not ready in time")
    expect(page.locator("#load-start")).to_be_enabled()


@pytest.mark.parametrize("state", ["paused", "error"])
def test_states_are_told_apart(state: str, make_scene: Make, open_page: Open) -> None:
    scene = make_scene(interval_s=0.5)
    page = open_page(scene.url)
    live(page)
    scene.call(lambda: setattr(scene.machine("agent-2"), "state", state))
    word, name = {"paused": ("frozen", "frozen"), "error": ("unhealthy", "failed")}[state]
    row = page.locator("#agents tbody tr", has_text="agent-2")
    expect(row.locator(".state")).to_have_text(re.compile(f"{word}|{name}|starting"))


# --- when the cluster does not answer ----------------------------------------------------------


def test_a_stopped_cluster_is_shown_as_such_and_comes_back(
    make_scene: Make, open_page: Open
) -> None:
    scene = make_scene()
    page = open_page(scene.url)
    live(page)
    scene.stop()
    expect(page.locator("#link-word")).to_have_text("not connected")
    expect(page.locator("#notices")).to_contain_text("The cluster does not answer since")
    expect(page.locator("#notices")).to_contain_text("./playground up")
    # No number is left that looks as if it were of now.
    for place in ("#serving", "#tile-requests b", "#tile-p95 b", "#tile-cpu b"):
        expect(page.locator(place)).to_have_text(DASH)
    expect(page.locator("#agents .state").first).to_have_text("unknown")
    assert "req/s" not in page.locator(".picture").inner_text()
    expect(page.locator(".picture")).to_have_attribute("data-alive", "false")
    expect(page.locator(".beads:not(.none)")).to_have_count(0)
    assert page.title().endswith("not connected")
    scene.start(past=False)
    live(page)
    expect(page.locator("#notices")).to_be_empty()


def test_alarms_and_parts_that_do_not_answer(make_scene: Make, open_page: Open) -> None:
    scene = make_scene()
    page = open_page(scene.url)
    live(page)
    scene.call(lambda: setattr(scene, "reachable", False))
    expect(page.locator("#notices")).to_contain_text("Alarm: load balancer: did not answer")
    expect(page.locator(".box.balancer")).to_have_class(re.compile("broken"))
    expect(page.locator("#tile-requests b")).to_have_text(DASH)


# --- tokens and controls -----------------------------------------------------------------------


def test_a_cluster_that_is_not_open_asks_for_a_token(make_scene: Make, open_page: Open) -> None:
    scene = make_scene(read_open=False)
    page = open_page(scene.url)
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("#link-word")).to_have_text("locked")
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    expect(page.locator("#ask-said")).to_have_text("The cluster does not know this token.")
    page.fill("#token", READ_TOKEN)
    page.press("#token", "Enter")
    live(page)
    expect(page.locator("#ask")).to_be_hidden()
    # It shows, and does not change.
    expect(page.locator("#pause")).to_be_disabled()
    unlock(page, READ_TOKEN)
    expect(page.locator("#unlock-said")).to_contain_text("may only read")
    unlock(page)
    expect(page.locator("#pause")).to_be_enabled()
    page.reload()
    live(page)
    expect(page.locator("#pause")).to_be_enabled()
    page.click("#lock")
    expect(page.locator("#pause")).to_be_disabled()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0


def test_the_scalers_controls(make_scene: Make, open_page: Open) -> None:
    scene = make_scene(step_s=0.1)
    page = open_page(scene.url)
    live(page)
    unlock(page, "wrong")
    expect(page.locator("#unlock-said")).to_have_text("The cluster does not know this token.")
    unlock(page)
    page.click("#pause")
    expect(page.locator("#mode")).to_have_text("paused")
    expect(page.locator("#pause")).to_have_text("Resume")
    assert status(scene)["mode"] == "paused"
    page.click("#pause")
    expect(page.locator("#mode")).to_have_text("automatic")
    page.fill("#desired", "3")
    page.press("#desired", "Enter")
    expect(page.locator("#scale-said")).to_have_text("3 wanted.")
    expect(page.locator("#serving")).to_have_text("3")
    page.fill("#min", "1")
    page.fill("#max", "2")
    page.click("#bounds button >> text=Set")
    expect(page.locator("#bounds-said")).to_have_text("1 to 2 agents.")
    expect(page.locator("#wanted")).to_contain_text(f"1{DASH}2 allowed")
    expect(page.locator("#serving")).to_have_text("2")
    expect(page.locator("#ill")).to_be_empty()
    page.fill("#min", "2")
    page.fill("#max", "1")
    page.click("#bounds button >> text=Set")
    expect(page.locator("#bounds-said")).to_have_text("Refused: min: 2 is more than max (1)")
    page.click("#bounds-reset")
    expect(page.locator("#wanted")).to_contain_text(f"1{DASH}6 allowed")
    assert status(scene)["configured"] == {"min": 1, "max": 6}
    expect(page.locator("#max")).to_have_value("6")


def test_controls_of_jobs_and_chaos(make_scene: Make, open_page: Open) -> None:
    """Each sends what the API takes; a job's progress is shown."""
    scene = make_scene()
    page = open_page(scene.url)
    asked: list[tuple[str, str, Any]] = []
    jobs: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        request = route.request
        path = request.url.removeprefix(scene.url)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.method != "GET":
            asked.append((request.method, path, request.post_data_json))
        if path.endswith("/faults"):
            return route.fulfill(json={"status": "agent-2 is frozen."})
        if request.method == "POST":
            body = request.post_data_json
            job = {
                "kind": body["kind"],
                "state": "running",
                "started_at": "2026-01-31T14:05:30Z",
                "ended_at": None,
                "arguments": body,
                "progress": {
                    "elapsed_s": 30, "duration_s": 60, "requests": 4500, "failures": 0,
                    "requests_per_s": 150, "p50_ms": 5, "p95_ms": 18, "p99_ms": 30,
                } if body["kind"] == "load" else {},
                "message": None,
            }  # fmt: skip
            jobs.append(job)
            return route.fulfill(status=202, json=job)
        if request.method == "DELETE":
            jobs[0]["state"] = "stopped"
            return route.fulfill(json=jobs[0])
        return route.fulfill(json={"jobs": jobs})

    page.route(re.compile(r"/api/v1/(jobs|agents/)"), answer)
    live(page)
    unlock(page)
    page.select_option("#profile", "spike")
    page.fill("#load-rate", "200")
    page.fill("#load-duration", "60")
    page.click("#load-start")
    expect(page.locator("#load-now")).to_contain_text(
        "Spike load: running · 4,500 requests, 0 failed · 150 a second · p95 18 ms · 30 s left"
    )
    assert page.locator("#load-progress").evaluate("bar => bar.value") == 0.5
    expect(page.locator("#load-start")).to_be_disabled()
    page.click("#load-stop")
    expect(page.locator("#load-start")).to_be_enabled()
    page.fill("#deploy-what", "apps/whoami")
    page.click("#deploy-go")
    expect(page.locator("#rollback")).to_be_disabled()
    jobs.clear()
    expect(page.locator("#rollback")).to_be_enabled()
    page.click("#rollback")
    page.select_option("#victim", "agent-2")
    page.click("#chaos-freeze")
    expect(page.locator("#chaos-said")).to_have_text("agent-2 is frozen.")
    page.locator("#agents tbody tr", has_text="agent-1").get_by_role("button", name="Kill").click()
    expect(page.locator("#chaos-said")).to_have_text("agent-2 is frozen.")
    assert asked == [
        ("POST", "/api/v1/jobs", {"kind": "load", "profile": "spike", "duration_s": 60, "rate": 200}),  # noqa: E501
        ("DELETE", "/api/v1/jobs/load", None),
        ("POST", "/api/v1/jobs", {"kind": "deploy", "application": "apps/whoami"}),
        ("POST", "/api/v1/jobs", {"kind": "rollback"}),
        ("POST", "/api/v1/agents/agent-2/faults", {"fault": "freeze"}),
        ("POST", "/api/v1/agents/agent-1/faults", {"fault": "kill"}),
    ]  # fmt: skip


def test_what_a_scaler_does_not_offer_is_not_offered(make_scene: Make, open_page: Open) -> None:
    scene = make_scene()
    page = open_page(scene.url)
    page.route(re.compile("/api/v1/jobs"), lambda route: route.fulfill(status=404, json={}))
    live(page)
    unlock(page)
    expect(page.locator("#load-controls-why")).to_have_text("This scaler does not offer it.")
    for control in ("#load-start", "#deploy-go", "#chaos-kill", "#agents .kill >> nth=0"):
        expect(page.locator(control)).to_be_disabled()
    expect(page.locator("#pause")).to_be_enabled()


# --- for everybody -----------------------------------------------------------------------------


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_no_serious_fault(theme: str, width: int, scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url, width=width, color_scheme=theme, reduced_motion="reduce")
    live(page)
    assert page.locator("html").get_attribute("data-theme") == theme
    unlock(page)
    expect(page.locator("#pause")).to_be_enabled()
    page.locator("#charts-card details summary").click()
    expect(page.locator("#figures tbody tr").first).to_be_visible()
    page.locator(".flag").last.focus()
    expect(page.locator(".tip")).to_be_visible()
    found = Axe().run(page).response["violations"]
    page.click("#theme")  # from the system's to light
    if theme == "light":
        page.click("#theme")
    other = {"light": "dark", "dark": "light"}[theme]
    expect(page.locator("html")).to_have_attribute("data-theme", other)
    found += Axe().run(page).response["violations"]
    bad = [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:4]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    print([(one["id"], one["impact"]) for one in found])
    assert not bad, "\n".join(bad)


def test_all_of_it_by_keyboard(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url)
    page.route(re.compile("/api/v1/jobs"), lambda route: route.fulfill(json={"jobs": []}))
    live(page)
    unlock(page)
    expect(page.locator("#pause")).to_be_enabled()
    page.reload()  # the focus begins at the top again
    expect(page.locator("#load-start")).to_be_enabled()
    stops: list[str] = []
    for _ in range(70):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "(() => { const at = document.activeElement; if (at === document.body) return null;"
            "const style = getComputedStyle(at), seen = style.outlineStyle !== 'none' ||"
            " at.type === 'radio'; return (at.id || at.className || at.textContent) +"
            " (seen ? '' : ' INVISIBLE'); })()"
        )
        if stop is None:
            break
        stops.append(stop)
    assert not [stop for stop in stops if stop.endswith("INVISIBLE")]
    assert stops[0] == "skip"
    order = ["theme", "flag", "pause", "desired", "min", "max", "profile", "load-start"]
    order += ["deploy-what", "rollback", "victim", "chaos-kill", "small freeze", "small kill"]
    places = [stops.index(stop) for stop in order]
    assert places == sorted(places), stops
    # One stop for all marks; arrow keys go through them, and each says what happened.
    assert stops.count("flag") == 1
    page.locator(".flag[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowLeft")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first != second and re.match(r"\d\d:\d\d:\d\d, ", second)
    expect(page.locator(".tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()


def test_colours_are_chosen_and_kept(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url, color_scheme="dark")
    root, switch = page.locator("html"), page.locator("#theme")
    expect(root).to_have_attribute("data-theme", "dark")
    switch.click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    switch.click()
    switch.click()
    expect(switch).to_contain_text("Auto")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")


def test_nothing_moves_for_who_does_not_want_it(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url, reduced_motion="reduce")
    live(page)
    assert page.evaluate("document.getAnimations().length") == 0
    moving = open_page(scene.url)
    live(moving)
    expect(moving.locator(".beads:not(.none)")).to_have_count(3)
    assert moving.evaluate("document.getAnimations().length") >= 3


def test_nothing_is_scrolled_sideways(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url)
    live(page)
    for width in (320, 360, 768, 1024, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator(".sheet").first).to_have_attribute("width", re.compile(r"\d+"))
        page.evaluate("document.querySelectorAll('section').forEach(one => one.scrollIntoView())")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


# --- how fast it is ----------------------------------------------------------------------------


def test_the_first_paint_is_soon_and_small(scene: Scene, open_page: Open) -> None:
    page = open_page("about:blank")
    sizes: dict[str, int] = {}

    def note(response: Any) -> None:
        if "stream" not in response.url:
            sizes[response.url] = int(response.headers.get("content-length", 0))

    page.on("response", note)
    page.goto(scene.url)
    live(page)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint {paint:.0f} ms, {len(sizes)} files, {sum(sizes.values()) / 1000:.0f} kB")
    assert paint < 5000
    assert sum(sizes.values()) < 80_000
    assert all(url.startswith(scene.url) for url in sizes), "nothing comes from elsewhere"


def test_a_hundred_agents(make_scene: Make, open_page: Open) -> None:
    scene = make_scene()
    scene.crowd = 100
    page = open_page(scene.url)
    live(page)
    expect(page.locator(".picture .agent")).to_have_count(100)
    expect(page.locator("#agents tbody tr")).to_have_count(100)
    # What stays is kept: the same nodes, a while later.
    page.evaluate("document.querySelectorAll('.agent').forEach((one, at) => { one.mark = at; })")
    times = page.evaluate(
        "() => new Promise(done => { const all = []; let last = performance.now();"
        "const end = last + 4000; const next = now => { all.push(now - last); last = now;"
        "now < end ? requestAnimationFrame(next) : done(all.sort((a, b) => a - b)); };"
        "requestAnimationFrame(next); })"
    )
    assert page.evaluate("[...document.querySelectorAll('.agent')].every((n, at) => n.mark === at)")
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"{len(times)} frames in 4 s: median {p50:.0f} ms, p95 {p95:.0f} ms")
    assert p50 < 250, "rendered by the processor alone, beside other tests"
    phone = open_page(scene.url, width=360, height=780)
    live(phone)
    expect(phone.locator(".picture .agent")).to_have_count(100)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360


# --- the stream itself -------------------------------------------------------------------------


def test_the_stream_is_for_readers_and_ends_with_the_scaler(make_scene: Make) -> None:
    scene = make_scene(read_open=False)

    def ask(token: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=10)
        connection.request("GET", "/api/v1/stream", headers={"Authorization": f"Bearer {token}"})
        return connection, connection.getresponse()

    refused, answer = ask("wrong")
    assert answer.status == 401
    refused.close()
    connection, answer = ask(READ_TOKEN)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    lines = [answer.readline().decode().rstrip() for _ in range(4)]
    assert lines[:3] == ["retry: 1000", "", "event: snapshot"]
    snapshot = json.loads(lines[3].removeprefix("data: "))
    assert snapshot["status"]["cluster"] == "playground"
    others = [ask(READ_TOKEN) for _ in range(32)]
    assert [one.status for _, one in others] == [200] * 31 + [503]
    for one, _ in others:
        one.close()
    began = time.monotonic()
    scene.stop()
    assert time.monotonic() - began < 5, "readers do not keep it from ending"
    answer.read()
    connection.close()


# --- the logic without the page ------------------------------------------------------------------


def test_pure_modules(scene: Scene, open_page: Open) -> None:
    page = open_page(scene.url)

    def run(module: str, expression: str) -> Any:
        return page.evaluate(f"import('/static/js/{module}.js').then(m => {expression})")

    assert run("scales", "[0, 3, 24, 180, 1001].map(n => m.niceCeiling(n))") == [
        1,
        5,
        25,
        200,
        2000,
    ]
    assert run("scales", "m.marks(6, 4, true)") == [0, 2, 4, 6]
    gap = "[{at: 0, v: 1}, {at: 10, v: 2}, {at: 90, v: 3}]"
    assert run("scales", f"m.unbroken({gap}, 'v', 20).map(run => run.length)") == [2, 1]
    assert run("scales", f"m.nearest({gap}, 14).v") == 2
    assert run("format", "[0.04, 9.6, 1234, 56789].map(m.count)") == [
        "0.0",
        "9.6",
        "1,234",
        "56.8 k",
    ]
    assert run("format", "[null, 4.21, 87.4, 2300].map(m.milliseconds)") == [
        DASH, "4.2 ms", "87 ms", "2.3 s",
    ]  # fmt: skip
    cpu = '["cpu_above", 83.4, 70, true]'
    assert run("decisions", f"m.verdict({cpu})") == "CPU 83 % is above 70 %"
    up = f'{{was: 1, wanted: 2, reason: "average CPU 83 %", verdicts: [{cpu}]}}'
    assert run("decisions", f"m.decision({up})") == {
        "kind": "up",
        "title": "1 more: 2 agents wanted instead of 1",
        "detail": "Average CPU 83 %.",
    }
    waits = f'{{was: 1, wanted: 1, blocked_by: "cooldown", reason: "x", verdicts: [{cpu}]}}'
    assert run("decisions", f"m.decision({waits}).title") == "Would like more agents, but waits"
    same = f"[{waits}, {waits}].map((one, at) => ({{...one, at}}))"
    assert run("decisions", f"m.stories({same}).map(one => one.times)") == [2]
    events = page.evaluate(
        "import('/static/js/sse.js').then(m => { const got = [];"
        "const take = m.parser((name, data) => got.push([name, data]));"
        "take('retry: 1000\\n\\nevent: a\\nda'); take('ta: 1\\n\\nevent: b\\ndata: 2\\n\\nev');"
        "return got; })"
    )
    assert events == [["a", "1"], ["b", "2"]]
    # In no size of the picture do agents touch each other, or leave it.
    boxes = page.evaluate(
        "import('/static/js/layout.js').then(m => [320, 600, 900, 1400].flatMap(width =>"
        " [1, 2, 4, 7, 13, 40, 100].map(count => { const plan = m.layout(width,"
        " Array.from({length: count}, (_, at) => at + 1));"
        " return {width, count, height: plan.height, all: [...plan.places.values()]}; })))"
    )
    for plan in boxes:
        taken: list[dict[str, float]] = []
        for box in plan["all"]:
            assert box["x"] >= 0 and box["x"] + box["w"] <= plan["width"], plan
            assert box["y"] + box["h"] <= plan["height"], plan
            for other in taken:
                apart = (
                    box["x"] >= other["x"] + other["w"]
                    or other["x"] >= box["x"] + box["w"]
                    or box["y"] >= other["y"] + other["h"]
                    or other["y"] >= box["y"] + box["h"]
                )
                assert apart, (plan["width"], plan["count"], box, other)
            taken.append(box)
