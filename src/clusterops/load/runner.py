# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: E402 - gevent has to replace sockets before anything imports them.
"""The process that sends the load: ``python -m clusterops.load.runner --url=… --users=…``.

Writes one JSON object a line: ``{"type": "second", …}`` each second and at the end
``{"type": "summary", …}``. SIGINT and SIGTERM end the run early, with a summary. It ends by
itself when the time is over or when nobody reads its output any more.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import resource
import signal
import sys
import time
from typing import Any

import gevent
from gevent.event import Event
from locust import FastHttpUser, between, task
from locust.env import Environment
from locust.exception import StopUser

from clusterops.load.mix import Mix
from clusterops.load.options import LoadOptions
from clusterops.load.program import LAST_S, exit_code_of, say
from clusterops.load.recorder import Recorder, describe, describe_answer
from clusterops.load.sessions import NoRetryPool, take_every_status


def _user_class(options: LoadOptions, recorder: Recorder, closing: Event) -> type[FastHttpUser]:
    mix = Mix(options.path)

    class PlaygroundUser(FastHttpUser):
        host = options.url
        wait_time = between(options.think_min_s, options.think_max_s)
        network_timeout = options.timeout_s
        connection_timeout = options.timeout_s
        max_retries = 0
        max_redirects = 0

        def __init__(self, environment: Environment) -> None:
            # A pool of its own for each user, as each browser has.
            self.client_pool = NoRetryPool(options.timeout_s)
            super().__init__(environment)
            take_every_status(self.client)

        @task
        def request(self) -> None:
            if closing.is_set():
                raise StopUser
            request = mix.draw()
            recorder.start()
            self.client.request(
                request.method,
                request.path,
                name=request.name,
                headers={"Accept-Encoding": "identity"},
                context={"request": request},
            )

    return PlaygroundUser


def _listener(options: LoadOptions, recorder: Recorder) -> Any:
    def finished(
        *,
        name: str,
        response_time: float,
        response: Any,
        context: dict[str, Any],
        exception: BaseException | None,
        **_: Any,
    ) -> None:
        status = int(getattr(response, "status_code", 0) or 0)
        if exception is not None:
            recorder.finish(name, response_time, error=describe(exception, options.timeout_s))
            return
        wrong = status not in context["request"].allowed
        headers = getattr(response, "headers", None)
        body = getattr(response, "content", None)
        recorder.finish(
            name,
            response_time,
            status=status,
            error=describe_answer(status, body) if wrong else None,
            served_by=headers.get("x-served-by") if headers else None,
        )

    return finished


def run(options: LoadOptions) -> None:
    """Send load until the time is over, or a signal or a closed output ends it."""
    recorder = Recorder()
    closing = Event()
    environment = Environment(
        user_classes=[_user_class(options, recorder, closing)], host=options.url
    )
    listen = environment.events.request.add_listener
    listen(_listener(options, recorder))  # type: ignore[no-untyped-call]
    runner = environment.create_local_runner()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, stop.set)

    began = last = time.monotonic()
    end = began + options.duration_s

    def tell(users: int) -> None:
        nonlocal last
        now = time.monotonic()
        say(recorder.second(now - began, users, now - last))
        last = now

    runner.start(options.users, spawn_rate=options.users / max(options.ramp_s, 1.0))
    users = 0
    try:
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            stop.wait(min(1.0, left))
            users = runner.user_count
            if not stop.is_set() and end - time.monotonic() > LAST_S:
                tell(users)
    finally:
        # Requests under way get their answer, or are counted as timed out. Locust's own
        # graceful stop may cut a request that a user begins in the same instant.
        closing.set()
        with gevent.Timeout(options.timeout_s + 1, False):
            while recorder.started > recorder.requests:
                gevent.sleep(0.005)
        runner.stop()
    recorder.cut_unfinished()
    tell(users)
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (used.ru_utime + used.ru_stime) / max(ended - began, 0.001) * 100
    say(
        recorder.summary(duration_s=ended - began, users=options.users, generator_cpu=min(cpu, 100))
    )


def main() -> int:
    return exit_code_of(lambda arguments: run(LoadOptions.from_arguments(arguments)))


if __name__ == "__main__":
    sys.exit(main())
