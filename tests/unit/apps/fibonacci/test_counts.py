# SPDX-License-Identifier: GPL-3.0-or-later
import asyncio
from typing import Any

import pytest
from fibonacci.counts import CountBuffer
from fibonacci.errors import StoreUnavailableError


async def test_requests_are_written_as_one_batch(store: Any) -> None:
    counts = CountBuffer(store)
    for index in (7, 3, 7):
        counts.add(index)
    await counts.flush()
    assert store.counts == {7: 2, 3: 1}
    assert counts.pending == 0


async def test_what_could_not_be_written_is_written_later(store: Any) -> None:
    counts = CountBuffer(store)
    counts.add(7)
    store.down = True
    with pytest.raises(StoreUnavailableError):
        await counts.flush()
    counts.add(7)
    store.down = False
    await counts.flush()
    assert store.counts == {7: 2}


async def test_the_background_task_writes_without_being_asked(store: Any) -> None:
    counts = CountBuffer(store, interval_s=0.01)
    counts.start()
    counts.add(5)
    for _ in range(100):
        await asyncio.sleep(0.01)
        if store.counts:
            break
    assert store.counts == {5: 1}
    await counts.close()


async def test_closing_writes_the_rest(store: Any) -> None:
    counts = CountBuffer(store, interval_s=60)
    counts.start()
    counts.add(5)
    await counts.close()
    assert store.counts == {5: 1}


async def test_closing_gives_up_and_says_how_much_was_lost(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    counts = CountBuffer(store, interval_s=60)
    counts.add(5)
    store.down = True
    await counts.close(deadline_s=0.05)
    assert [record.__dict__["fields"] for record in caplog.records] == [{"lost": 1}]
