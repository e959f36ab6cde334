# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and jobs in Redis.

A job is an index, in one of four places: ``waiting`` (a list), ``running`` (a sorted set by the end
of its lease), ``delayed`` (a sorted set by the time of its next attempt) or ``dead`` (a list).
Every move is one Lua script, hence atomic: a process may die between any two and no job is lost.
A worker holds a job by a lease it keeps renewing; the job of a dead worker goes back to ``waiting``
when the lease ends. Jobs are therefore computed at least once.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fibonacci.deadlines import DATABASE_DEADLINE_S
from fibonacci.errors import QueueUnavailableError

CALCULATING = "Calculating..."
MAX_ATTEMPTS = 3

# The braces are a hash tag: all keys in one slot, as scripts need it on a Redis cluster.
_KEYS = tuple(
    "{fibonacci}:" + name
    for name in (
        "values",
        "waiting",
        "running",
        "delayed",
        "dead",
        "owners",
        "attempts",
        "wake",
        "done",
    )
)
_HEAD = """
local values, waiting, running, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dead, owners, attempts, wake, done = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local CALCULATING, MAX_ATTEMPTS = '$CALC', $MAX
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function bury(index, reason)
  redis.call('HDEL', values, index)
  redis.call('HDEL', attempts, index)
  redis.call('LPUSH', dead, cjson.encode({index = tonumber(index), reason = reason, at_ms = now}))
  redis.call('LTRIM', dead, 0, 999)
end
"""

# The wake list only ends a worker's sleep early; it is bounded and may be lost.
_ENQUEUE = """
if redis.call('HSETNX', values, ARGV[1], CALCULATING) == 0 then return 0 end
redis.call('LPUSH', waiting, ARGV[1])
redis.call('LPUSH', wake, '1')
redis.call('LTRIM', wake, 0, 63)
return 1
"""

_TAKE = """
for _, index in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', now)) do
  redis.call('ZREM', running, index)
  redis.call('HDEL', owners, index)
  if tonumber(redis.call('HGET', attempts, index) or '0') >= MAX_ATTEMPTS then
    bury(index, 'its worker died')
  else
    redis.call('LPUSH', waiting, index)
  end
end
for _, index in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now)) do
  redis.call('ZREM', delayed, index)
  redis.call('LPUSH', waiting, index)
end
while true do
  local index = redis.call('RPOP', waiting)
  if not index then return nil end
  -- A value that is there already, or was given up, needs no second computation.
  if redis.call('HGET', values, index) == CALCULATING
      and not redis.call('ZSCORE', running, index) then
    redis.call('ZADD', running, now + tonumber(ARGV[1]), index)
    redis.call('HSET', owners, index, ARGV[2])
    return {index, redis.call('HINCRBY', attempts, index, 1)}
  end
end
"""

_RENEW = """
if redis.call('HGET', owners, ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', running, 'XX', now + tonumber(ARGV[3]), ARGV[1])
return 1
"""

# A worker whose lease ended may still finish: its value is as right as the other's.
_COMPLETE = """
redis.call('HSET', values, ARGV[1], ARGV[3])
redis.call('ZREM', running, ARGV[1])
redis.call('ZREM', delayed, ARGV[1])
redis.call('HDEL', owners, ARGV[1])
redis.call('HDEL', attempts, ARGV[1])
redis.call('HINCRBY', done, 'jobs', 1)
redis.call('HINCRBYFLOAT', done, 'seconds', ARGV[4])
return 1
"""

_FAIL = """
if redis.call('HGET', owners, ARGV[1]) ~= ARGV[2] then return 'not_owned' end
redis.call('ZREM', running, ARGV[1])
redis.call('HDEL', owners, ARGV[1])
local attempt = tonumber(redis.call('HGET', attempts, ARGV[1]) or '0')
if attempt >= MAX_ATTEMPTS then
  bury(ARGV[1], ARGV[3])
  return 'dead'
end
redis.call('ZADD', delayed, now + tonumber(ARGV[4]) * 2 ^ (attempt - 1), ARGV[1])
return 'delayed'
"""


@dataclass(frozen=True)
class Job:
    """An index, which attempt this is (from 1), and the token that proves who holds it."""

    index: int
    attempt: int
    token: str


class Queue(Protocol):
    """What the API needs of Redis. Every method may raise QueueUnavailableError."""

    async def close(self) -> None:
        """Let the connections go."""

    async def ping(self) -> None:
        """Return when Redis answers."""

    async def value(self, index: int) -> str | None:
        """Return the value, CALCULATING, or None if nobody asked for it."""

    async def enqueue(self, index: int) -> bool:
        """Add a job; False if the value is there or on its way."""

    async def depths(self) -> dict[str, int]:
        """Return how many jobs are in each place."""

    async def done(self) -> tuple[int, float]:
        """Return how many jobs were computed, on all nodes, and the seconds that took."""


class RedisQueue:
    """The queue in Redis. Connections are made, and made again, when they are needed."""

    def __init__(self, url: str, *, max_connections: int = 32, lease_ms: int = 5000) -> None:
        self._lease_ms = lease_ms
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=max_connections,
                timeout=DATABASE_DEADLINE_S,
                protocol=2,
                decode_responses=True,
                socket_timeout=DATABASE_DEADLINE_S,
                socket_connect_timeout=DATABASE_DEADLINE_S,
                # One more attempt at once: a restarted Redis leaves dead connections behind.
                retry=Retry(NoBackoff(), 1),
            )
        )
        head = _HEAD.replace("$CALC", CALCULATING).replace("$MAX", str(MAX_ATTEMPTS))
        register = self._redis.register_script
        self._enqueue = register(head + _ENQUEUE)
        self._take = register(head + _TAKE)
        self._renew = register(head + _RENEW)
        self._complete = register(head + _COMPLETE)
        self._fail = register(head + _FAIL)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._bounded(cast("Awaitable[Any]", self._redis.ping()))

    async def value(self, index: int) -> str | None:
        """Return the value of *index*, CALCULATING or None."""
        answer = self._redis.hget(_KEYS[0], str(index))
        return cast("str | None", await self._bounded(cast("Awaitable[Any]", answer)))

    async def enqueue(self, index: int) -> bool:
        """Add a job for *index*; False if its value is there or on its way."""
        return bool(await self._bounded(self._enqueue(_KEYS, [index])))

    async def depths(self) -> dict[str, int]:
        """Return how many jobs wait, run, are delayed and were given up."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.llen(_KEYS[1])
        pipeline.zcard(_KEYS[2])
        pipeline.zcard(_KEYS[3])
        pipeline.llen(_KEYS[4])
        answers = await self._bounded(pipeline.execute())
        return dict(zip(("waiting", "running", "delayed", "dead"), answers, strict=True))

    async def done(self) -> tuple[int, float]:
        """Return how many jobs were computed, on all nodes, and the seconds that took."""
        answer = self._redis.hmget(_KEYS[8], ["jobs", "seconds"])
        jobs, seconds = await self._bounded(cast("Awaitable[Any]", answer))
        return int(jobs or 0), float(seconds or 0)

    async def seed(self, values: dict[int, int]) -> None:
        """Store values that need no job."""
        items = [str(each) for pair in values.items() for each in pair]
        answer = self._redis.hset(_KEYS[0], items=items)
        await self._bounded(cast("Awaitable[Any]", answer))

    async def sleep(self, seconds: int) -> None:
        """Return when a job came, or after *seconds* (a whole number: Redis' own resolution)."""
        answer = self._redis.blpop([_KEYS[7]], timeout=seconds)
        await self._bounded(cast("Awaitable[Any]", answer), seconds + DATABASE_DEADLINE_S)

    async def take(self, token: str) -> Job | None:
        """Lease the next job; those of dead workers and those whose delay is over return first."""
        answer = await self._bounded(self._take(_KEYS, [self._lease_ms, token]))
        return None if answer is None else Job(int(answer[0]), int(answer[1]), token)

    async def renew(self, job: Job) -> bool:
        """Extend the lease; False if the job is no longer ours."""
        return bool(await self._bounded(self._renew(_KEYS, [job.index, job.token, self._lease_ms])))

    async def complete(self, job: Job, value: int, seconds: float) -> None:
        """Store the value, count the job and forget it."""
        arguments = [job.index, job.token, value, f"{seconds:.6f}"]
        await self._bounded(self._complete(_KEYS, arguments))

    async def fail(self, job: Job, reason: str, backoff_ms: int) -> str:
        """Give a job back: ``delayed``, ``dead`` after the last attempt, or ``not_owned``."""
        answer = self._fail(_KEYS, [job.index, job.token, reason, backoff_ms])
        return str(await self._bounded(answer))

    async def _bounded(self, answer: Awaitable[Any], seconds: float = DATABASE_DEADLINE_S) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise QueueUnavailableError(f"Redis: {reason}") from error
