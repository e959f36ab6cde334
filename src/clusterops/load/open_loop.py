# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E402 - gevent has to replace sockets before anything imports them.
"""The process that sends load in open loop: ``python -m clusterops.load.open_loop --url=… …``.

Requests are sent when they are due, whether or not earlier ones were answered: people who come to
a site know nothing of each other. Locust's users cannot do that: each waits for its answer before
it sends again, so a stall keeps requests from being sent that would have met it (coordinated
omission), and a load shape changes their number only. So it is Locust's HTTP client here and its
events, with a schedule of our own.

Speaks as :mod:`clusterops.load.runner` does: a line each second, and a summary.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc
import resource
import signal
import sys
import time
from typing import Any

import gevent
from gevent.event import Event
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from clusterops.http_api.audit import now_text
from clusterops.load.mix import Mix, Request
from clusterops.load.open_options import OpenOptions
from clusterops.load.open_recorder import OpenRecorder
from clusterops.load.profiles import Profile, arrivals
from clusterops.load.program import LAST_S, exit_code_of, say
from clusterops.load.recorder import describe, describe_answer
from clusterops.load.sessions import NoRetryPool, take_every_status

IDLE_S = 4.0
"""A connection that was not used for so long is closed: the server may be about to do so."""


class Connection:
    """One connection that stays open, with one request at a time."""

    def __init__(self, options: OpenOptions, event: EventHook) -> None:
        self._pool = NoRetryPool(options.timeout_s)
        self._session = FastHttpSession(
            options.url,
            event,
            None,
            client_pool=self._pool,
            network_timeout=options.timeout_s,
            connection_timeout=options.timeout_s,
            max_retries=0,
            max_redirects=0,
        )
        take_every_status(self._session)
        self._used = time.perf_counter()

    def send(self, request: Request, due: float, recorder: OpenRecorder) -> None:
        """Send a request, and wait for its answer; what came of it is an event."""
        now = time.perf_counter()
        if now - self._used > IDLE_S:
            self._pool.close()
        recorder.sent((now - due) * 1000)
        self._session.request(
            request.method,
            request.path,
            name=request.name,
            headers={"Accept-Encoding": "identity"},
            context={"request": request, "due": due},
        )
        self._used = time.perf_counter()


class Generator:
    """Sends what is due, over as many connections as that takes."""

    def __init__(self, options: OpenOptions, profile: Profile) -> None:
        self.recorder = OpenRecorder()
        self.stop = Event()
        self._options = options
        self._profile = profile
        self._mix = Mix(options.path, options.seed)
        self._event = EventHook()  # type: ignore[no-untyped-call]
        self._event.add_listener(self._finished)  # type: ignore[no-untyped-call]
        # The one used last comes first, so that few stay open.
        self._idle: list[Connection] = []
        self._connections = 0

    @property
    def outstanding(self) -> int:
        return self._connections - len(self._idle)

    def run(self, began: float) -> None:
        """Send all that is due, until the profile ends or somebody stops it."""
        for at in arrivals(self._profile, self._options.arrivals, self._options.seed):
            due = began + at
            left = due - time.perf_counter()
            if left > 0.1:
                self.stop.wait(left)
            else:
                gevent.sleep(max(left, 0))  # those under way need their turn, however late it is
            if self.stop.is_set():
                return
            self._send(due)
        self.stop.wait(max(began + self._profile.duration_s - time.perf_counter(), 0))

    def _send(self, due: float) -> None:
        if self._idle:
            connection = self._idle.pop()
        elif self._connections < self._options.outstanding:
            connection = Connection(self._options, self._event)
            self._connections += 1
        else:
            self.recorder.left_out()
            return
        gevent.spawn(self._exchange, connection, self._mix.draw(), due)

    def _exchange(self, connection: Connection, request: Request, due: float) -> None:
        try:
            connection.send(request, due, self.recorder)
        finally:
            self._idle.append(connection)

    def _finished(
        self,
        *,
        name: str,
        response_time: float,
        response: Any,
        context: dict[str, Any],
        exception: BaseException | None,
        **_: Any,
    ) -> None:
        latency = (time.perf_counter() - context["due"]) * 1000
        if exception is not None:
            waited = response_time >= self._options.timeout_s * 1000
            error = describe(exception, self._options.timeout_s)
            self.recorder.answered(response_time, latency, waited=waited)
            self.recorder.finish(name, latency, error=error)
            return
        status = int(response.status_code)
        wrong = status not in context["request"].allowed
        self.recorder.answered(response_time, latency, waited=False)
        self.recorder.finish(
            name,
            latency,
            status=status,
            error=describe_answer(status, response.content) if wrong else None,
            served_by=response.headers.get("x-served-by") if response.headers else None,
        )


def run(options: OpenOptions) -> None:
    """Send load until the profile ends, or a signal or a closed output ends it."""
    profile = options.made()
    generator = Generator(options, profile)
    recorder = generator.recorder
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, generator.stop.set)
    gc.freeze()  # what is loaded stays: no pause goes through it
    spent = _cpu_s()
    began = last = time.perf_counter()
    sending = gevent.spawn(generator.run, began)

    def row() -> None:
        nonlocal last
        now = time.perf_counter()
        # After its end the profile asks for nothing, but answers to it may still come.
        end = min(now, began + profile.duration_s)
        wanted = profile.at((last + end) / 2 - began)
        say(recorder.row(now - began, now_text(), now - last, wanted, generator.outstanding))
        last = now

    try:
        while not sending.ready():
            sending.join(max(last + 1 - time.perf_counter(), 0.05))
            now = time.perf_counter()
            if now - last >= 0.99 and began + profile.duration_s - now > LAST_S:
                row()
        sending.get()
        # Requests under way get their answer, or are counted as timed out.
        with gevent.Timeout(options.timeout_s + 1, False):
            while recorder.started > recorder.requests:
                gevent.sleep(0.005)
    finally:
        generator.stop.set()
        sending.join(1)
    recorder.cut_unfinished()
    row()
    seconds = time.perf_counter() - began
    cpu = min((_cpu_s() - spent) / seconds * 100, 100)
    say({"type": "summary", **recorder.totals(duration_s=seconds, generator_cpu=cpu)})


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    return exit_code_of(lambda arguments: run(OpenOptions.from_arguments(arguments)))


if __name__ == "__main__":
    sys.exit(main())
